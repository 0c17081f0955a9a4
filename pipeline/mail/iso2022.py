"""Decode ISO-2022 (Japanese and Korean in 7 bits) and the Windows symbols of Japanese charsets."""

from __future__ import annotations

import re

# Escapes of ISO-2022-JP: to two-byte JIS X 0208/0213, to half-width kana, and back to one-byte
# charsets.
_ESCAPE = re.compile(rb"\x1b(\$[@B]|\$\([DOPQ]|\([BJHI])")
_TWO_BYTE = (b"$B", b"$@", b"$(O", b"$(Q")


def decode_iso2022(raw: bytes) -> tuple[str, str] | None:
    """Decode 7-bit bytes by their escape sequences; return text and charset, or None without any.

    >>> decode_iso2022("注文".encode("iso2022_jp"))
    ('注文', 'iso-2022-jp')
    """
    if b"\x1b$)C" in raw:
        return _decode_leniently(raw, "iso2022_kr"), "iso-2022-kr"
    if not _ESCAPE.search(raw):
        return None
    for codec in ("iso2022_jp_ext", "iso2022_jp_2004"):
        try:
            return raw.decode(codec), "iso-2022-jp"
        except UnicodeDecodeError:
            continue
    return _decode_jis_leniently(raw), "iso-2022-jp"


def _decode_leniently(raw: bytes, codec: str) -> str:
    return raw.decode(codec, "replace")


def _decode_jis_leniently(raw: bytes) -> str:
    """Decode ISO-2022-JP by segments: symbols of NEC and IBM, as on Windows, and lost escapes."""
    texts: list[str] = []
    end, mode = 0, b"(B"
    for escape in _ESCAPE.finditer(raw):
        texts.append(_decode_jis_segment(raw[end : escape.start()], mode))
        mode, end = escape[1], escape.end()
    texts.append(_decode_jis_segment(raw[end:], mode))
    return "".join(texts)


def _decode_jis_segment(segment: bytes, mode: bytes) -> str:
    if mode in _TWO_BYTE:
        # The end of the line closes the segment even where the escape back is lost.
        head, newline, tail = segment.partition(b"\n")
        return _decode_jis_pairs(head) + (newline + tail).decode("ascii", "replace")
    if mode == b"(I":
        return bytes(b | 0x80 for b in segment).decode("cp932", "replace")
    return segment.decode("ascii", "replace")


def _decode_jis_pairs(pairs: bytes) -> str:
    """Decode JIS row/cell pairs at their Shift_JIS positions, where cp932 has all characters."""
    moved = bytearray()
    for lead, trail in zip(pairs[::2], pairs[1::2], strict=False):
        row, cell = lead - 0x21, trail - 0x21
        if not (0 <= row < 94 and 0 <= cell < 94):
            moved += b"?"
            continue
        moved.append((row >> 1) + (0x81 if row < 62 else 0xC1))
        if row & 1:
            moved.append(cell + 0x9F)
        else:
            moved.append(cell + (0x40 if cell < 63 else 0x41))
    return moved.decode("cp932", "replace") + ("\ufffd" if len(pairs) % 2 else "")


_EUC_RUN = re.compile(rb"(?:[\xa1-\xfe][\xa1-\xfe]|\x8e[\xa1-\xdf])+")


def decode_windows_euc_jp(raw: bytes) -> str | None:
    """Decode EUC-JP with symbols of NEC and IBM, as Windows writes it; None if it is not EUC-JP."""
    texts: list[str] = []
    end = 0
    for run in _EUC_RUN.finditer(raw):
        between = raw[end : run.start()]
        if not between.isascii():
            return None
        texts.append(between.decode("ascii"))
        texts.append(_decode_euc_run(run[0]))
        end = run.end()
    rest = raw[end:]
    text = "".join(texts) + rest.decode("ascii", "replace")
    return text if rest.isascii() and "\ufffd" not in text else None


def _decode_euc_run(run: bytes) -> str:
    if b"\x8e" not in run:
        return _decode_jis_pairs(bytes(b & 0x7F for b in run))
    pairs = zip(run[::2], run[1::2], strict=True)
    return "".join(
        bytes((b,)).decode("cp932", "replace")
        if a == 0x8E
        else _decode_jis_pairs(bytes((a & 0x7F, b & 0x7F)))
        for a, b in pairs
    )
