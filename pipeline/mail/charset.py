"""Bytes of a mail to text: the declared character set where it holds, evidence where it does
not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.mail.charset_evidence import (
    EIGHT_BIT_BYTES,
    EIGHT_BIT_RUN,
    GB_EVERYDAY,
    SHORT,
    asian_codec,
    detected_codec,
    is_everyday,
    is_mostly_eight_bit,
    is_usual_asian,
    strictly,
)
from pipeline.mail.charset_tables import (
    CHARSETS,
    CODEC_CHARSETS,
    FREQUENT_CHINESE,
    Charset,
)
from pipeline.mail.iso2022 import decode_iso2022, decode_nec_japanese
from pipeline.mail.mojibake import undo_mojibake

_UTF8 = CHARSETS["utf-8"]

# Windows' own signatures; the 32-bit one first, for it begins with the 16-bit one.
_SIGNATURES = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32le"),
    (b"\xff\xfe", "utf-16le"),
    (b"\xfe\xff", "utf-16be"),
)

# Lines that need their own character set are rare (a mailing list's footer, a pasted quote); in
# noise every line does.
_MAX_RESCUED_LINES = 200

# UTF-8 has at most this much damage: where the label says so one bad byte for two good characters,
# else one for eight.
_GOOD_PER_BAD, _GOOD_PER_BAD_UNLABELLED = 2, 8

# Lines in which UTF-8 is weighed against another set.
_MAX_COMPARED_LINES = 1_000

# A text this short is a name or a term, whose characters may all be rare; in a longer one that
# shows another set.
_FEW = 8

# Blocks of 128 code points that hold Latin letters.
_LATIN_BLOCKS = {1, 2, 3, 4}

_LABEL_NOISE = re.compile(r"[\"'\s;,*()\[\]].*", re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded text, the character set that read it, whether that mends what was declared, and the
    U+FFFD put in.
    """

    text: str
    charset_used: str
    repaired: bool
    replaced: int


def known_charset(label: str | None) -> Charset | None:
    """Return the character set that a label of a mail means, or None for none and for names nobody
    knows.
    """
    if not label:
        return None
    name = _LABEL_NOISE.sub("", label[:80].strip(" \t\r\n\"'").lower().replace("_", "-"))
    return CHARSETS.get(name) or CHARSETS.get(name.removeprefix("x-"))


def decode_text(raw: bytes, declared: str | None) -> Decoded:
    """Decode a text of a mail; never raises, and never returns a surrogate.

    `declared` is the label that came with it, if any. It is widened first (gb2312 to gb18030,
    iso-8859-1 to windows-1252, as the WHATWG encoding standard does); then strict UTF-8, the label,
    evidence for the Asian sets, chardet, and last windows-1252 are tried in an order that depends
    on how far such a label can be trusted. `repaired` is set where a label was given and another
    set was used, or where text that had been decoded wrongly before it was sent was put right (by
    `ftfy.fix_encoding`). `replaced` counts the U+FFFD that stand for bytes.
    """
    charset = known_charset(declared)
    for signature, name in _SIGNATURES:
        if raw.startswith(signature):
            return _signed(raw[len(signature) :], CHARSETS[name], charset)
    wide = _wide(raw, charset)
    if wide is not None:
        return wide
    if raw.isascii():
        return _seven_bit(raw, charset)
    decoded = _eight_bit(raw, charset)
    text = undo_mojibake(decoded.text)
    return (
        decoded
        if text is decoded.text
        else Decoded(text, decoded.charset_used, True, decoded.replaced)
    )


def _signed(raw: bytes, charset: Charset, declared: Charset | None) -> Decoded:
    text = raw.decode(charset.codecs[0], "replace")
    wrong = declared is not None and declared.family != charset.family
    return Decoded(text, charset.name, wrong, _added(text))


def _added(text: str) -> int:
    return text.count("\ufffd")


# --- sixteen bits a character


def _wide(raw: bytes, charset: Charset | None) -> Decoded | None:
    """Read UTF-16 and UTF-32 by their label, or UTF-16 without one where every second byte of a
    text is NUL.
    """
    zeros = raw.count(0)
    if charset is not None and charset.family == "wide":
        if charset.name != "utf-16":
            text = strictly(raw, charset.codecs[0])
            if text is not None and _reads_well(text):
                return Decoded(text, charset.name, False, _added(text))
        best = _best_utf16(raw)
        return Decoded(best[0], best[1], False, _added(best[0])) if best else None
    # ASCII text in UTF-16 is half zeros; a text with a stray NUL is not.
    if zeros * 3 < len(raw) or len(raw) < 4:
        return None
    even = raw[::2].count(0)
    codec, label = ("utf_16_be", "utf-16be") if even * 2 > zeros else ("utf_16_le", "utf-16le")
    text = strictly(raw, codec)
    if text is None or "\0" in text:
        return None
    return Decoded(text, label, charset is not None, _added(text))


def _best_utf16(raw: bytes) -> tuple[str, str] | None:
    for codec, label in (("utf_16_be", "utf-16be"), ("utf_16_le", "utf-16le")):
        text = strictly(raw, codec)
        if text is not None and _reads_well(text):
            return text, label
    return None


def _reads_well(text: str) -> bool:
    """Tell text from bytes paired wrongly: ASCII, Latin letters, kana, hangul, or frequent Chinese
    characters.
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


# --- seven bits


def _seven_bit(raw: bytes, charset: Charset | None) -> Decoded:
    if b"\x1b$" in raw or b"\x1b(" in raw:
        found = decode_iso2022(raw)
        if found is not None:
            escaped, name = found
            return Decoded(
                escaped, name, charset is not None and charset.name != name, _added(escaped)
            )
    if charset is not None and charset.family == "stateful":
        text = strictly(raw, charset.codecs[0])
        if text is not None and not _LONE_SURROGATE.search(text):
            return Decoded(text, charset.name, False, 0)
    same = charset is None or charset.family not in ("wide", "stateful")
    return Decoded(
        raw.decode("ascii"),
        charset.name if charset is not None and same else "us-ascii",
        not same,
        0,
    )


# --- eight bits


def _eight_bit(raw: bytes, charset: Charset | None) -> Decoded:
    """Read bytes of which some have the eighth bit, by the first of these that fits strictly."""
    family = charset.family if charset is not None else ""
    utf8 = strictly(raw, "utf_8")
    if utf8 is not None and not (len(utf8) < SHORT and _is_rather_asian(raw, utf8, charset)):
        return Decoded(
            utf8, "utf-8", family not in ("", "unicode"), _added(utf8) - raw.count(b"\xef\xbf\xbd")
        )
    java = _surrogates_in_utf8(raw) if utf8 is None else None
    if java is not None:
        return Decoded(java, "utf-8", True, _added(java))
    mostly_utf8 = utf8 is None and _mostly_utf8(raw, family)
    if charset is not None and family in ("cjk", "single") and not mostly_utf8:
        text = _by_codecs(raw, charset)
        if text is not None:
            believed = (
                family == "single"
                or len(text) <= _FEW
                or is_usual_asian(text, charset.codecs)
                or is_everyday(raw, charset.name)
            )
            other = None if believed else asian_codec(raw)
            if other is None or other in charset.codecs:
                return Decoded(text, charset.name, False, _added(text))
    if mostly_utf8:
        return _by_lines(raw, _UTF8, charset)
    asian = asian_codec(raw)
    if asian is not None:
        found = CODEC_CHARSETS[asian]
        text = _by_codecs(raw, found)
        wrong = charset is not None and charset.name != found.name
        return (
            Decoded(text, found.name, wrong, _added(text))
            if text is not None
            else _by_lines(raw, found, charset)
        )
    return _western_or_detected(raw, charset, family)


def _western_or_detected(raw: bytes, charset: Charset | None, family: str) -> Decoded:
    if charset is not None and family == "latin" and not is_mostly_eight_bit(raw):
        text = strictly(raw, charset.codecs[0])
        if text is not None:
            return Decoded(text, charset.name, False, 0)
    if charset is not None and family == "cjk":
        return _by_lines(raw, charset, charset)
    name = detected_codec(raw)
    found = known_charset(name) if name else None
    text = _by_codecs(raw, found) if found is not None else None
    if found is not None and text is not None:
        return Decoded(
            text, found.name, charset is not None and found.name != charset.name, _added(text)
        )
    if charset is not None and family in ("latin", "single"):
        return _by_lines(raw, charset, charset)
    if found is not None and found.family in ("latin", "single"):
        return _by_lines(raw, found, charset)
    text = raw.decode("cp1252", "replace")
    wrong = charset is not None and charset.name != "windows-1252"
    if "\ufffd" not in text:
        return Decoded(text, "windows-1252", wrong, 0)
    return Decoded(raw.decode("latin_1"), "iso-8859-1", wrong, 0)


def _by_codecs(raw: bytes, charset: Charset) -> str | None:
    for codec in charset.codecs:
        text = strictly(raw, codec)
        if text is not None:
            return text
    return decode_nec_japanese(raw) if charset.name == "euc-jp" else None


def _is_rather_asian(raw: bytes, utf8: str, charset: Charset | None) -> bool:
    """Tell a short text in an Asian set that happens to be valid UTF-8 too."""
    two_byte_only = max(utf8.rstrip("\ufffd"), default="") < "\u0800"
    if charset is not None and charset.family == "cjk":
        text = _by_codecs(raw, charset)
        if text is None or two_byte_only:
            return text is not None
        # As UTF-8 such bytes are mostly characters that nobody has assigned.
        return (
            is_usual_asian(text, charset.codecs)
            or not "".join(utf8.split()).isprintable()
            or (utf8[-1] == "\ufffd" and text[-1] != "\ufffd")
        )
    if not two_byte_only or not all(map(GB_EVERYDAY.fullmatch, EIGHT_BIT_RUN.findall(raw))):
        return False
    scripts = {ord(c) >> 7 for c in utf8 if c > "\x7f"}
    return len(scripts) > 1 and not scripts <= _LATIN_BLOCKS


def _mostly_utf8(raw: bytes, family: str) -> bool:
    """Tell UTF-8 with damage from another set: valid characters far outnumber bad bytes, or valid
    lines the others.
    """
    text = raw.decode("utf_8", "replace")
    bad = _added(text)
    valid = len(text) - len(raw.translate(None, EIGHT_BIT_BYTES)) - bad
    if valid > (_GOOD_PER_BAD if family == "unicode" else _GOOD_PER_BAD_UNLABELLED) * bad:
        return True
    lines = [
        line
        for line in raw.split(b"\n", _MAX_COMPARED_LINES)[:_MAX_COMPARED_LINES]
        if not line.isascii()
    ]
    return sum(strictly(line, "utf_8") is not None for line in lines) * 2 > len(lines)


def _surrogates_in_utf8(raw: bytes) -> str | None:
    """Decode what Java and Oracle write for emoji: UTF-8 of each half of a UTF-16 pair; None where
    it is not that.
    """
    if b"\xed" not in raw:
        return None
    try:
        halves = raw.decode("utf_8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return halves.encode("utf_16_le", "surrogatepass").decode("utf_16_le", "replace")


def _by_lines(raw: bytes, charset: Charset, declared: Charset | None) -> Decoded:
    """Read each line by the main set, or the set it is really in; what fits none keeps U+FFFD."""
    texts: list[str] = []
    tried = replaced = 0
    mended = declared is not None and charset is not declared
    main = charset.codecs[0]
    for line in raw.splitlines(keepends=True) if b"\n" in raw else (raw,):
        text = line.decode(main, "replace")
        bad = _added(text) - (line.count(b"\xef\xbf\xbd") if main == "utf_8" else 0)
        if bad and tried < _MAX_RESCUED_LINES:
            tried += 1
            text = _rescued_line(line, charset, text)
            bad, lossy = _added(text), bad
            mended = mended or bad < lossy
        replaced += bad
        texts.append(text)
    return Decoded("".join(texts), charset.name, mended, replaced)


def _rescued_line(line: bytes, main: Charset, lossy: str) -> str:
    for codec in ("utf_8", *main.codecs[1:]):
        text = strictly(line, codec)
        if text is not None:
            return text
    java = _surrogates_in_utf8(line) if main is _UTF8 else None
    if java is not None:
        return java
    asian = asian_codec(line)
    if asian is not None and asian not in main.codecs:
        text = strictly(line, asian)
        return text if text is not None else lossy
    # Single 8-bit letters inside a Western line are windows-1252; inside an Asian one they are
    # damage.
    if main.family in ("unicode", "latin", "single") and not is_mostly_eight_bit(line):
        western = line.decode("cp1252", "replace")
        return western if "\ufffd" not in western else lossy
    return lossy
