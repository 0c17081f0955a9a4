"""Decode transfer encodings (RFC 2045, section 6), uuencode and yEnc without losing text."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

from pipeline.mail.mime.encoded_words import decode_base64_run

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]{4,}={0,2}")
_BLANKS = b" \t\r\n\x0b\x0c\0"
# A soft line break is "=" at the end of a line; some servers add blanks or carriage returns after
# it, or leave a bare carriage return.
_BROKEN_SOFT_BREAK = re.compile(rb"=[ \t\r]*\n|=[ \t]*\r+|=[ \t]+$")
_UU_BEGIN = re.compile(rb"^begin [0-7]{3,4} ([^\r\n]{1,255})\r?\n", re.MULTILINE)
_UU_END = re.compile(rb"^(?:`|[ ]?)\r?\n?end[ \t]*\r?$", re.MULTILINE)
_Y_BEGIN = re.compile(
    rb"^=ybegin (?>[^\r\n]*?name=)([^\r\n]*+)\r?\n(?:=ypart [^\r\n]*\r?\n)?", re.MULTILINE
)
_Y_END = re.compile(rb"^=yend[^\r\n]*\r?$", re.MULTILINE)
_Y_SHIFT = bytes((i - 42) % 256 for i in range(256))
_Y_ESCAPE = re.compile(rb"=(.)", re.DOTALL)

# Some mailers pad each line of base64 separately.
_MAX_RUNS = 100_000

# Files inline in one text: a newsgroup posting has a few at most.
_MAX_INLINE_FILES = 100


@dataclass(frozen=True, slots=True)
class DecodedContent:
    """Decoded bytes; `invalid` if they broke the encoding, `truncated` if a unit was cut."""

    raw: bytes
    invalid: bool = False
    truncated: bool = False


def decode_transfer_encoding(raw: bytes, encoding: str) -> DecodedContent:
    """Decode by the name of an encoding, in lower case; an unknown name leaves the bytes as is.

    >>> decode_transfer_encoding(b"aGVsbG8=", "base64").raw
    b'hello'
    """
    if encoding == "base64":
        return decode_base64(raw)
    if encoding in ("quoted-printable", "quopri", "quoted_printable", "qp"):
        return DecodedContent(decode_quoted_printable(raw))
    if encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
        match = _UU_BEGIN.search(raw)
        return (
            DecodedContent(_decode_uu(raw[match.end() :]))
            if match is not None
            else DecodedContent(raw, invalid=True)
        )
    return DecodedContent(
        raw,
        invalid=encoding not in ("", "7bit", "8bit", "binary", "7-bit", "8-bit", "none", "plain"),
    )


def decode_quoted_printable(raw: bytes) -> bytes:
    r"""Decode quoted-printable, including broken soft line breaks.

    `binascii` drops everything after a "=" before a bare carriage return, so such breaks are
    repaired first.

    >>> decode_quoted_printable(b"caf=C3=A9= \r\n!")
    b'caf\xc3\xa9!'
    """
    if b"\r" in raw or b"= " in raw or b"=\t" in raw:
        raw = _BROKEN_SOFT_BREAK.sub(b"=\n", raw)
    return binascii.a2b_qp(raw)


def decode_base64(raw: bytes) -> DecodedContent:
    """Decode base64 leniently.

    Characters outside the alphabet are dropped, padding may be in the middle, plain text after the
    base64 is kept. Text that is not base64 at all is returned as is, marked invalid.
    """
    noise = raw.translate(None, _BASE64 + _BLANKS)
    if not noise:
        return _decode_runs(raw)
    lines = raw.replace(b"\r", b"").split(b"\n")
    coded = [index for index, line in enumerate(lines) if _BASE64_LINE.fullmatch(line.strip())]
    plain = sum(1 for line in lines if line.strip()) - len(coded)
    # A mailing list may append a footer in plain text below the base64. Its lines can be single
    # words that look like base64.
    tail = _trailing_text_start(lines)
    if tail is not None and tail > 0:
        head = _decode_runs(b"".join(lines[:tail]))
        return DecodedContent(
            head.raw + b"\n" + b"\n".join(lines[tail:]), invalid=True, truncated=head.truncated
        )
    if plain > len(coded):
        return DecodedContent(raw, invalid=True)
    decoded = _decode_runs(raw.translate(None, bytes(set(noise))))
    return DecodedContent(decoded.raw, invalid=True, truncated=decoded.truncated)


def _trailing_text_start(lines: list[bytes]) -> int | None:
    """Return the index of the first plain-text line after base64 that ended, or None.

    The base64 ends with padding or with a line that is shorter than the others.
    """
    width = len(lines[0].strip())
    for index, line in enumerate(lines):
        bare = line.strip()
        if _BASE64_LINE.fullmatch(bare) and len(bare) == width and not bare.endswith(b"="):
            continue
        ended = bare.endswith(b"=") or (
            len(bare) < width and (not bare or _BASE64_LINE.fullmatch(bare) is not None)
        )
        start = index + 1 if ended and bare else index
        rest = lines[start:]
        prose = [other for other in rest if other.strip()]
        if not prose:
            return None
        coded = sum(_BASE64_LINE.fullmatch(other.strip()) is not None for other in prose)
        return start if coded * 2 < len(prose) else None
    return None


def _decode_runs(raw: bytes) -> DecodedContent:
    """Decode base64 of several padded units; the standard decoder stops after the first."""
    clean = raw.translate(None, _BLANKS)
    if b"=" not in clean.rstrip(b"="):
        body = clean.rstrip(b"=")
        return DecodedContent(
            decode_base64_run(body), truncated=len(body) % 4 == 1 or (len(clean) % 4 != 0)
        )
    *runs, rest = clean.split(b"=", _MAX_RUNS)
    return DecodedContent(b"".join(map(decode_base64_run, [*runs, rest])), truncated=False)


def looks_like_base64(raw: bytes) -> bool:
    """Return whether an unlabelled body is base64: lines of one usual width and nothing else."""
    lines = raw.split()
    if (
        len(lines) < 2
        or len(lines[0]) not in (60, 64, 72, 76)
        or not all(map(_BASE64_LINE.fullmatch, lines))
    ):
        return False
    return all(len(line) == len(lines[0]) for line in lines[:-1]) and sum(map(len, lines)) % 4 == 0


# --- files inside text


def extract_inline_files(raw: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Cut uuencoded and yEnc files out of a text; return the rest and (name, content) pairs."""
    if b"begin " not in raw and b"=ybegin " not in raw:
        return raw, []
    rest: list[bytes] = []
    files: list[tuple[bytes, bytes]] = []
    position = 0
    while len(files) < _MAX_INLINE_FILES:
        next_file = _next_file(raw, position)
        if next_file is None:
            break
        begin, end, name, content = next_file
        rest.append(raw[position:begin])
        files.append((name.strip(), content))
        position = end
    rest.append(raw[position:])
    return b"".join(rest), files


def _next_file(raw: bytes, position: int) -> tuple[int, int, bytes, bytes] | None:
    uu = _UU_BEGIN.search(raw, position)
    while uu is not None and not _is_uu_line(raw, uu.end()):
        uu = _UU_BEGIN.search(raw, uu.end())
    y = _Y_BEGIN.search(raw, position)
    if uu is not None and (y is None or uu.start() < y.start()):
        end = _UU_END.search(raw, uu.end())
        stop = end.end() if end is not None else len(raw)
        return uu.start(), stop, uu[1], _decode_uu(raw[uu.end() : stop])
    if y is not None:
        end = _Y_END.search(raw, y.end())
        stop = end.end() if end is not None else len(raw)
        coded = raw[y.end() : end.start() if end is not None else len(raw)]
        return y.start(), stop, y[1], _decode_y(coded)
    return None


def _is_uu_line(raw: bytes, start: int) -> bool:
    stop = raw.find(b"\n", start)
    line = raw[start : stop if stop >= 0 else len(raw)].rstrip(b"\r")
    if not line or not 0x20 <= line[0] <= 0x60:
        return False
    expected = ((line[0] - 32) & 63) * 4 // 3
    return expected > 0 and abs(len(line) - 1 - expected) <= 3


def _decode_uu(raw: bytes) -> bytes:
    decoded: list[bytes] = []
    for line in raw.split(b"\n"):
        bare = line.rstrip(b"\r")
        if bare.strip() in (b"end", b"`", b""):
            if bare.strip() == b"end":
                break
            continue
        decoded.append(_decode_uu_line(bare))
    return b"".join(decoded)


def _decode_uu_line(line: bytes) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        # Some encoders count the last group short or append a checksum: use as many characters as
        # the length byte says.
        characters = (((line[0] - 32) & 63) * 4 + 5) // 3
        try:
            return binascii.a2b_uu(line[:characters])
        except binascii.Error:
            return b""


def _decode_y(coded: bytes) -> bytes:
    bare = coded.replace(b"\r", b"").replace(b"\n", b"")
    return _Y_ESCAPE.sub(lambda m: bytes(((m[1][0] - 64) % 256,)), bare).translate(_Y_SHIFT)
