"""Recognise lines of a signature (telephone, address, title, company), and lines of prose."""

import re

from pipeline.processors.clean.reply.word_tables import read_table

_TABLE = read_table("contacts")
_LABELS = frozenset(label.casefold() for label in _TABLE["labels"])
# A single letter is a label only before a number.
_LETTER_LABEL = re.compile(r"(?:[tpmfcdwoheav]|hp|ext)[.:：)]?+\s*+[|:：.]?+\s*+(?=\+?[\d(])", re.I)
_PHONE = re.compile(r"(?<![\w.])\+?\(?\d[\d\s().\-–/]{6,22}\d(?!\w)")
# Contact data contain a label, a number or an address.
_HINT = re.compile(r"[\d@:：]")
_FRAME = " *_|•·-–—>"
_MAX_CONTACT = 160
_DIGIT = re.compile(r"\d")
_PHONE_ALONE = re.compile(r"[+(]?\d[\d\s().\-–/x+]{6,}$")
_WEB = re.compile(
    r"(?:https?://|www\.)\S+|(?<!\S)[\w-]{2,40}\.(?:com|net|org|io|de|fr|cn|co\.uk|eu|nl|it|es)(?:/\S*)?$",
    re.I,
)
_EMAIL = re.compile(r"[^\s<>@]@[^\s<>@]+\.\w")
_TITLES = frozenset(_TABLE["titles"])
_UNSPACED_TITLES = tuple(_TABLE["unspaced_titles"])
_STREETS = frozenset(_TABLE["streets"])
_ABBREVIATIONS = frozenset(_TABLE["abbreviations"])
_HAN_STREET = re.compile(r"[省市区縣县镇].{0,20}[路街道号號弄]|〒\d{3}")
_GLUED_STREET = re.compile(
    r"(?:straße|strasse|str\.|weg|allee|platz|gasse|straat|laan|vägen|gatan)\s\d|\b[A-Z]{2}\s\d{5}\b|\b[A-Z]{1,2}\d[\dA-Z]?\s\d[A-Z]{2}\b",
    re.I,
)
# How mail programs and renderers write an image or a bare link: logos in signatures.
_IMAGES = ("![", "[cid:", "[image", "[http", "<http", "http://", "https://")
_STOPS = ".?!。？！…"
_CLOSERS = "\"'”’)）"
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_CLAUSE = re.compile(r"[，；。！？、]")
# Lines of a signature are short: 90 characters of Latin text, 45 of Chinese.
_MAX_LATIN = 90
_MAX_HAN = 45


def is_contact_line(line: str) -> bool:
    """Return whether a stripped line is a labelled value, a telephone number or an address.

    >>> is_contact_line("Tel: +49 30 5550100"), is_contact_line("See you soon")
    (True, False)
    """
    if len(line) > _MAX_CONTACT or _HINT.search(line) is None:
        return False
    text = line.strip(_FRAME)
    if _has_label(text) or _PHONE_ALONE.match(text):
        return True
    spaces = text.count(" ")
    if "@" in text and spaces <= 4 and _EMAIL.search(text):
        return True
    return spaces <= 8 and _PHONE.search(text) is not None


def is_profile_line(line: str) -> bool:
    """Return whether a stripped line that is not prose is a title, company, street or web site.

    >>> is_profile_line("Sales Manager")
    True
    """
    text = line.strip(_FRAME)
    return _is_site(text) or _is_title_or_place(text)


def _is_site(text: str) -> bool:
    spaces = text.count(" ")
    return (
        spaces <= 5
        and ("//" in text or "www." in text or spaces <= 2)
        and _WEB.search(text) is not None
    )


def _is_title_or_place(text: str) -> bool:
    words = {word.strip(".,;|()&").casefold() for word in text.split()}
    if not words.isdisjoint(_TITLES):
        return True
    if not text.isascii() and (
        any(title in text for title in _UNSPACED_TITLES) or _HAN_STREET.search(text)
    ):
        return True
    return _DIGIT.search(text) is not None and (
        not words.isdisjoint(_STREETS) or _GLUED_STREET.search(text) is not None
    )


def _has_label(text: str) -> bool:
    for colon in ":：":
        at = text.find(colon, 0, 24)
        if at > 0 and text[:at].strip(" .()（）\u3000").replace("\u3000", "").casefold() in _LABELS:
            return True
    head = text[:24].split(None, 1)
    if len(head) == 2 and head[0].rstrip(".:").casefold() in _LABELS and _PHONE.search(text):
        return True
    match = _LETTER_LABEL.match(text)
    return match is not None and _PHONE.match(text, match.end()) is not None


def is_prose(line: str) -> bool:
    """Return whether a stripped line is a sentence or a part of one rather than signature data.

    >>> is_prose("We will ship the order tomorrow."), is_prose("Ann Lee")
    (True, False)
    """
    if line.startswith(_IMAGES):
        return False
    if len(line) > _MAX_LATIN:
        return line.count("|") + line.count("•") + line.count("·") < 2
    if not line.isascii() and _HAN.search(line):
        return _is_han_prose(line)
    words = line.count(" ") + 1
    if words <= 3 or (words == 4 and line[-1] == "!"):
        return line[-1] in "?？"
    if _ends_sentence(line):
        return True
    if "|" in line or "•" in line:
        return False
    return words > 10 or _mostly_lower(line)


def _ends_sentence(line: str) -> bool:
    bare = line.rstrip(_CLOSERS)
    if not bare or bare[-1] not in _STOPS:
        return False
    return (
        bare[-1] != "."
        or bare[:-1].replace(",", " ").rsplit(None, 1)[-1].casefold() not in _ABBREVIATIONS
    )


def _mostly_lower(line: str) -> bool:
    """Return whether most words are lower case: a clause, not a name, title or address."""
    words = [word for word in line.split() if word[0].isalpha()]
    lower = sum(word[0].islower() for word in words)
    return len(words) >= 5 and lower * 3 > len(words) * 2


def _is_han_prose(line: str) -> bool:
    if len(line) > _MAX_HAN:
        return True
    if _has_label(line):
        return False
    if line[-1] in "？?":
        return True
    return len(_HAN.findall(line)) > 8 and (
        line[-1] in "。！；，" or _CLAUSE.search(line) is not None
    )
