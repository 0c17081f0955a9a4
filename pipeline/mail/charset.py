"""Decode the bytes of a mail: by the declared charset where it fits, else by detection."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.mail.charset_evidence import (
    EIGHT_BIT_BYTES,
    EIGHT_BIT_RUN,
    GB_COMMON,
    SHORT_TEXT,
    decode_strictly,
    detect_asian_codec,
    detect_codec,
    frequent_share,
    has_frequent_characters,
    has_only_common_characters,
    is_mostly_eight_bit,
)
from pipeline.mail.charset_tables import (
    CHARSETS,
    CODEC_CHARSETS,
    FREQUENT_CHINESE,
    Charset,
)
from pipeline.mail.iso2022 import decode_iso2022, decode_windows_euc_jp
from pipeline.mail.mojibake import undo_mojibake

_UTF8 = CHARSETS["utf-8"]

# Byte order marks; the 32-bit one first, because it starts with the 16-bit one.
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32le"),
    (b"\xff\xfe", "utf-16le"),
    (b"\xfe\xff", "utf-16be"),
)

# Lines in another charset than the rest are rare (the footer of a mailing list, a pasted quote); in
# noise every line is one.
_MAX_DAMAGED_LINES = 200

# Text is UTF-8 with damage if it has more than this many good characters for each bad byte: 2 where
# the label says UTF-8, otherwise 8.
_GOOD_PER_BAD, _GOOD_PER_BAD_UNLABELLED = 2, 8

# At most this many lines are tested for UTF-8 one by one.
_MAX_COMPARED_LINES = 1_000

# A text this short may be a name of rare characters only. In a longer text rare characters alone
# indicate a wrong charset.
_VERY_SHORT = 8

# Blocks of 128 code points that hold Latin letters.
_LATIN_BLOCKS = {1, 2, 3, 4}

_LABEL_NOISE = re.compile(r"[\"'\s;,*()\[\]].*", re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class DecodedText:
    """A decoded text and the charset that was used.

    `repaired` says that another charset than the declared one was used or that mojibake was undone.
    `replaced` counts the U+FFFD that stand for undecodable bytes.
    """

    text: str
    charset_used: str
    repaired: bool
    replaced: int


def lookup_charset(label: str | None) -> Charset | None:
    """Return the charset that a label of a mail means, or None if it is missing or unknown.

    >>> lookup_charset("GB2312").name
    'gb18030'
    """
    if not label:
        return None
    name = _LABEL_NOISE.sub("", label[:80].strip(" \t\r\n\"'").lower().replace("_", "-"))
    return CHARSETS.get(name) or CHARSETS.get(name.removeprefix("x-"))


def decode_text(raw: bytes, declared: str | None) -> DecodedText:
    """Decode a text of a mail; never raises, and never returns a surrogate.

    `declared` is the charset label that came with the text, if any. It is widened first (gb2312 to
    gb18030, iso-8859-1 to windows-1252, as in the WHATWG encoding standard). Then strict UTF-8, the
    label, character statistics for the Asian charsets, chardet, and finally windows-1252 are tried;
    the order depends on how far such a label can be trusted. `repaired` is set where a label was
    given and another charset was used, or where mojibake was undone (by `ftfy.fix_encoding`).
    `replaced` counts the U+FFFD that stand for bytes.

    >>> decode_text("你好，订单什么时候发货？".encode("gbk"), "iso-8859-1").text
    '你好，订单什么时候发货？'
    """
    charset = lookup_charset(declared)
    for signature, name in _BYTE_ORDER_MARKS:
        if raw.startswith(signature):
            return _decode_after_mark(raw[len(signature) :], CHARSETS[name], charset)
    wide = _decode_wide(raw, charset)
    if wide is not None:
        return wide
    if raw.isascii():
        return _decode_seven_bit(raw, charset)
    decoded = _decode_eight_bit(raw, charset)
    text = undo_mojibake(decoded.text)
    return (
        decoded
        if text is decoded.text
        else DecodedText(text, decoded.charset_used, True, decoded.replaced)
    )


def _decode_after_mark(raw: bytes, charset: Charset, declared: Charset | None) -> DecodedText:
    text = raw.decode(charset.codecs[0], "replace")
    wrong = declared is not None and declared.family != charset.family
    return DecodedText(text, charset.name, wrong, _count_replacements(text))


def _count_replacements(text: str) -> int:
    return text.count("\ufffd")


# --- UTF-16 and UTF-32


def _decode_wide(raw: bytes, charset: Charset | None) -> DecodedText | None:
    """Decode UTF-16 and UTF-32 by their label, or UTF-16 by its NUL bytes without one."""
    zeros = raw.count(0)
    if charset is not None and charset.family == "wide":
        if charset.name != "utf-16":
            text = decode_strictly(raw, charset.codecs[0])
            if text is not None and _is_plausible_text(text):
                return DecodedText(text, charset.name, False, _count_replacements(text))
        best = _best_utf16(raw)
        return DecodedText(best[0], best[1], False, _count_replacements(best[0])) if best else None
    # ASCII text in UTF-16 is half zeros; text with a stray NUL is not.
    if zeros * 3 < len(raw) or len(raw) < 4:
        return None
    even = raw[::2].count(0)
    codec, label = ("utf_16_be", "utf-16be") if even * 2 > zeros else ("utf_16_le", "utf-16le")
    text = decode_strictly(raw, codec)
    if text is None or "\0" in text:
        return None
    return DecodedText(text, label, charset is not None, _count_replacements(text))


def _best_utf16(raw: bytes) -> tuple[str, str] | None:
    for codec, label in (("utf_16_be", "utf-16be"), ("utf_16_le", "utf-16le")):
        text = decode_strictly(raw, codec)
        if text is not None and _is_plausible_text(text):
            return text, label
    return None


def _is_plausible_text(text: str) -> bool:
    """Return whether the text is plausible rather than bytes that were paired wrongly.

    Plausible are ASCII, Latin letters, kana, hangul and frequent Chinese characters.
    """
    sample = text[:1000]
    good = sum(
        (c < "\u0600" and (c.isprintable() or c.isspace()))
        or "\u3000" <= c <= "\u30ff"
        or "\uac00" <= c <= "\ud7a3"
        or c in FREQUENT_CHINESE
        for c in sample
    )
    return good * 2 >= len(sample)


# --- 7-bit bytes


def _decode_seven_bit(raw: bytes, charset: Charset | None) -> DecodedText:
    if b"\x1b$" in raw or b"\x1b(" in raw:
        decoded = decode_iso2022(raw)
        if decoded is not None:
            escaped, name = decoded
            return DecodedText(
                escaped,
                name,
                charset is not None and charset.name != name,
                _count_replacements(escaped),
            )
    if charset is not None and charset.family == "stateful":
        text = decode_strictly(raw, charset.codecs[0])
        if text is not None and not _LONE_SURROGATE.search(text):
            return DecodedText(text, charset.name, False, 0)
    label_fits = charset is None or charset.family not in ("wide", "stateful")
    return DecodedText(
        raw.decode("ascii"),
        charset.name if charset is not None and label_fits else "us-ascii",
        not label_fits,
        0,
    )


# --- 8-bit bytes


def _decode_eight_bit(raw: bytes, charset: Charset | None) -> DecodedText:
    """Decode bytes of which some have the eighth bit, by the first charset that fits strictly."""
    family = charset.family if charset is not None else ""
    utf8 = decode_strictly(raw, "utf_8")
    if utf8 is not None and not (len(utf8) < SHORT_TEXT and _is_probably_asian(raw, utf8, charset)):
        return DecodedText(
            utf8,
            "utf-8",
            family not in ("", "unicode"),
            _count_replacements(utf8) - raw.count(b"\xef\xbf\xbd"),
        )
    cesu8 = _decode_cesu8(raw) if utf8 is None else None
    if cesu8 is not None:
        return DecodedText(cesu8, "utf-8", True, _count_replacements(cesu8))
    mostly_utf8 = utf8 is None and _is_mostly_utf8(raw, family)
    if charset is not None and family in ("cjk", "single") and not mostly_utf8:
        text = _decode_by_codecs(raw, charset)
        if text is not None:
            label_fits = (
                family == "single"
                or len(text) <= _VERY_SHORT
                or has_frequent_characters(text, charset.codecs)
                or has_only_common_characters(raw, charset.name)
            )
            other = None if label_fits else detect_asian_codec(raw)
            if other is None or other in charset.codecs or _is_worse(raw, other, text, charset):
                return DecodedText(text, charset.name, False, _count_replacements(text))
    if mostly_utf8:
        return _decode_by_lines(raw, _UTF8, charset)
    asian = detect_asian_codec(raw)
    if asian is not None:
        detected = CODEC_CHARSETS[asian]
        text = _decode_by_codecs(raw, detected)
        wrong = charset is not None and charset.name != detected.name
        return (
            DecodedText(text, detected.name, wrong, _count_replacements(text))
            if text is not None
            else _decode_by_lines(raw, detected, charset)
        )
    return _decode_western_or_detected(raw, charset, family)


def _is_worse(raw: bytes, codec: str, text: str, declared: Charset) -> bool:
    """Return whether a guessed codec loses characters, or is no better than the declared charset.

    Programs of one country write the language of another in the charset of their own: Chinese and
    Korean charsets have the kana.
    """
    guess = decode_strictly(raw, codec)
    if guess is None or _count_replacements(guess) > _count_replacements(text):
        return True
    languages = (*declared.codecs, codec, "euc_jp", "gb18030")
    return frequent_share(text, languages) >= frequent_share(guess, languages)


def _decode_western_or_detected(raw: bytes, charset: Charset | None, family: str) -> DecodedText:
    if charset is not None and family == "latin" and not is_mostly_eight_bit(raw):
        text = decode_strictly(raw, charset.codecs[0])
        if text is not None:
            return DecodedText(text, charset.name, False, 0)
    if charset is not None and family == "cjk":
        return _decode_by_lines(raw, charset, charset)
    name = detect_codec(raw)
    detected = lookup_charset(name) if name else None
    text = _decode_by_codecs(raw, detected) if detected is not None else None
    if detected is not None and text is not None:
        return DecodedText(
            text,
            detected.name,
            charset is not None and detected.name != charset.name,
            _count_replacements(text),
        )
    if charset is not None and family in ("latin", "single"):
        return _decode_by_lines(raw, charset, charset)
    if detected is not None and detected.family in ("latin", "single"):
        return _decode_by_lines(raw, detected, charset)
    text = raw.decode("cp1252", "replace")
    wrong = charset is not None and charset.name != "windows-1252"
    if "\ufffd" not in text:
        return DecodedText(text, "windows-1252", wrong, 0)
    return DecodedText(raw.decode("latin_1"), "iso-8859-1", wrong, 0)


def _decode_by_codecs(raw: bytes, charset: Charset) -> str | None:
    for codec in charset.codecs:
        text = decode_strictly(raw, codec)
        if text is not None:
            return text
    return decode_windows_euc_jp(raw) if charset.name == "euc-jp" else None


def _is_probably_asian(raw: bytes, utf8: str, charset: Charset | None) -> bool:
    """Return whether a short text that is valid UTF-8 is rather in an Asian charset."""
    two_byte_only = max(utf8.rstrip("\ufffd"), default="") < "\u0800"
    if charset is not None and charset.family == "cjk":
        text = _decode_by_codecs(raw, charset)
        if text is None or two_byte_only:
            return text is not None
        # Read as UTF-8, such bytes are mostly unassigned characters.
        return (
            has_frequent_characters(text, charset.codecs)
            or not "".join(utf8.split()).isprintable()
            or (utf8[-1] == "\ufffd" and text[-1] != "\ufffd")
        )
    if not two_byte_only or not all(map(GB_COMMON.fullmatch, EIGHT_BIT_RUN.findall(raw))):
        return False
    scripts = {ord(c) >> 7 for c in utf8 if c > "\x7f"}
    return len(scripts) > 1 and not scripts <= _LATIN_BLOCKS


def _is_mostly_utf8(raw: bytes, family: str) -> bool:
    """Return whether the bytes are UTF-8 with damage rather than another charset.

    Valid characters must far outnumber bad bytes, or valid lines the others.
    """
    text = raw.decode("utf_8", "replace")
    bad = _count_replacements(text)
    valid = len(text) - len(raw.translate(None, EIGHT_BIT_BYTES)) - bad
    if valid > (_GOOD_PER_BAD if family == "unicode" else _GOOD_PER_BAD_UNLABELLED) * bad:
        return True
    lines = [
        line
        for line in raw.split(b"\n", _MAX_COMPARED_LINES)[:_MAX_COMPARED_LINES]
        if not line.isascii()
    ]
    return sum(decode_strictly(line, "utf_8") is not None for line in lines) * 2 > len(lines)


def _decode_cesu8(raw: bytes) -> str | None:
    """Decode CESU-8, which Java and Oracle write for emoji, or return None.

    CESU-8 encodes each half of a UTF-16 surrogate pair separately.
    """
    if b"\xed" not in raw:
        return None
    try:
        halves = raw.decode("utf_8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return halves.encode("utf_16_le", "surrogatepass").decode("utf_16_le", "replace")


def _decode_by_lines(raw: bytes, charset: Charset, declared: Charset | None) -> DecodedText:
    """Decode each line by the main charset or by the one it is in; the rest becomes U+FFFD."""
    texts: list[str] = []
    tried = replaced = 0
    repaired = declared is not None and charset is not declared
    main = charset.codecs[0]
    for line in raw.splitlines(keepends=True) if b"\n" in raw else (raw,):
        text = line.decode(main, "replace")
        bad = _count_replacements(text) - (line.count(b"\xef\xbf\xbd") if main == "utf_8" else 0)
        if bad and tried < _MAX_DAMAGED_LINES:
            tried += 1
            text = _decode_damaged_line(line, charset, text)
            bad, before = _count_replacements(text), bad
            repaired = repaired or bad < before
        replaced += bad
        texts.append(text)
    return DecodedText("".join(texts), charset.name, repaired, replaced)


def _decode_damaged_line(line: bytes, main: Charset, lossy: str) -> str:
    for codec in ("utf_8", *main.codecs[1:]):
        text = decode_strictly(line, codec)
        if text is not None:
            return text
    cesu8 = _decode_cesu8(line) if main is _UTF8 else None
    if cesu8 is not None:
        return cesu8
    asian = detect_asian_codec(line)
    if asian is not None and asian not in main.codecs:
        text = decode_strictly(line, asian)
        return text if text is not None else lossy
    # Single 8-bit letters in a Western line are windows-1252; in an Asian line they are damage.
    if main.family in ("unicode", "latin", "single") and not is_mostly_eight_bit(line):
        western = line.decode("cp1252", "replace")
        return western if "\ufffd" not in western else lossy
    return lossy
