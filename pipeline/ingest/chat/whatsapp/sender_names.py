"""Senders' names and chat names, as phones show them and as exports name their files."""

from __future__ import annotations

import re
from functools import lru_cache

from pipeline.ingest.local_times import plain_text, strip_direction_marks

# Names in address books are longer than the 25 characters that WhatsApp allows, but no sentences.
_MAX_NAME = 128
_QUOTES = (("“", "”"), ("«", "»"), ("„", "“"), ("「", "」"), ("『", "』"), ("‘", "’"))
_PHONE = re.compile(r"\+?[\d\s().\-\u2010-\u2015]{7,25}")

_ARCHIVED = re.compile(r"(?i)(\.(?:zip|tar|tgz|tbz2?|txz)(?:\.\w{2,3})?)!")
_ENDINGS = frozenset({"txt", "zip", "tar", "tgz", "gz", "bz2", "xz"})
# A rejected message is read again with its locator, file and line, as the unit's name.
_LINE = re.compile(r"#\d+$")
# Browsers and phones number a second download. iOS names the file in every archive _chat.txt.
_COPY = re.compile(r"(?<!\s)\s*+(?:\(\d{1,3}\)|-\d{1,2}|\bcopy)$")
_NAMELESS = re.compile(r"(?i)_chat")
_TITLES = tuple(
    re.compile(rf"\A(?:{pattern})\Z", re.IGNORECASE)
    for pattern in (
        r"(?:与|與|和|跟)\s?(?P<chat>.+?)\s?的\s?whatsapp\s?(?:聊天|对话|對話)(?:记录|記錄|紀錄)?",
        r"whatsapp\s?(?:聊天|对话|對話)(?:记录|記錄|紀錄)?\s?(?:[-–:：]|与|與)\s?(?P<chat>.+)",
        r"whatsapp[ -]?chat (?:with|mit|met|-|–) (?P<chat>.+)",
        r"(?:chat de|chat|conversa (?:do|no)|conversación de|discussion|чат|czat|đoạn chat)"
        r" whatsapp "
        r"(?:con|com|avec|с (?:контактом |группой )?|z (?:użytkownikiem )?|dengan|với|-|–)"
        r" ?(?P<chat>.+)",
        r"whatsapp[ -]?(?:sohbeti|チャット|대화|채팅) ?[-–] ?(?P<chat>.+)",
        r"(?P<chat>.+?) (?:ile whatsapp sohbeti)",
        r"(?P<chat>.+?)(?:との ?whatsapp ?チャット|님과의 whatsapp ?(?:대화|채팅))",
    )
)


def split_sender(text: str) -> tuple[str | None, str]:
    """Return the sender's name and the text after it; the name is None for WhatsApp's own lines.

    A name ends at the first colon with a blank. A colon inside a quotation (`… changed the subject
    to “Plan: B”`) does not end a name.

    >>> split_sender("Ann: hi: there")
    ('Ann', 'hi: there')
    >>> split_sender("Ann left")
    (None, 'Ann left')
    """
    first, newline, more = text.partition("\n")
    if first.rstrip().endswith(":") and ": " not in first.rstrip():
        written, rest = first.rstrip()[:-1], ""
    else:
        written, colon, rest = first.partition(": ")
        if not colon:
            return None, text
    name = _name_in(written[: 4 * _MAX_NAME])
    return (None, text) if name is None else (name, f"{rest}{newline}{more}")


# A chat has few names and many messages, so names are cached.
@lru_cache(maxsize=4_096)
def _name_in(written: str) -> str | None:
    name = clean_name(written)
    return name if name and len(name) <= _MAX_NAME and not _opens_a_quotation(name) else None


def clean_name(written: str) -> str:
    r"""Return a name without direction marks and unusual blanks.

    The tilde in front of people who are not in the address book is removed too.

    >>> clean_name("~\u202fAnn  Li")
    'Ann Li'
    """
    return re.sub(r"\s+", " ", strip_direction_marks(written)).strip().removeprefix("~").strip()


def _opens_a_quotation(name: str) -> bool:
    return name.count('"') % 2 == 1 or any(
        name.count(opening) > name.count(closing) for opening, closing in _QUOTES
    )


def to_party(name: str) -> dict[str, str]:
    """Return the party of a name: a phone number if it looks like one, else a handle.

    >>> to_party("+86 138 0000 0001")
    {'phone': '+86 138 0000 0001'}
    >>> to_party("Ann")
    {'name': 'Ann', 'handle': 'Ann'}
    """
    digits = plain_text(name).strip()
    if _PHONE.fullmatch(digits) and sum(char.isdigit() for char in digits) >= 7:
        return {"phone": digits}
    return {"name": name, "handle": name}


def chat_name(unit_name: str) -> tuple[str, bool]:
    """Return the chat's name, and whether WhatsApp itself put it into the file's name.

    `WhatsApp Chat with Ann.txt` and `与小王的WhatsApp聊天.txt` name the chat; `_chat.txt` takes
    the name of its folder or archive; any other file names the chat by its name without suffix.

    >>> chat_name("/exports/WhatsApp Chat with Ann.txt"), chat_name("/exports/notes.txt")
    (('Ann', True), ('notes', False))
    """
    parts = [
        part for part in re.split(r"[/\\]", _ARCHIVED.sub(r"\1/", _LINE.sub("", unit_name))) if part
    ]
    stem = ""
    while parts and not stem:
        candidate = _stem(parts.pop())
        if not _NAMELESS.fullmatch(candidate) or not parts:
            stem = candidate
    title = stem if " " in stem else stem.replace("_", " ")
    for pattern in _TITLES:
        if match := pattern.match(title.strip()):
            return clean_name(match["chat"].strip(" «»\"'")), True
    return clean_name(stem) or "chat", False


def _stem(part: str) -> str:
    end = len(part)
    while (dot := part.rfind(".", 0, end)) >= 0 and part[dot + 1 : end].lower() in _ENDINGS:
        end = dot
    return _COPY.sub("", part[:end].strip())
