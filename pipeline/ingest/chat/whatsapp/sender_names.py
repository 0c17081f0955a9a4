"""Who wrote a line, and which chat a file is: names as phones show them, and the names that exports
give their files.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pipeline.ingest.local_times import plain, without_marks

# Address books hold longer names than the 25 characters WhatsApp allows, but no sentences.
_MAX_NAME = 128
_QUOTES = (("“", "”"), ("«", "»"), ("„", "“"), ("「", "」"), ("『", "』"), ("‘", "’"))
_PHONE = re.compile(r"\+?[\d\s().\-\u2010-\u2015]{7,25}")

_ARCHIVED = re.compile(r"(?i)(\.(?:zip|tar|tgz|tbz2?|txz)(?:\.\w{2,3})?)!")
_ENDINGS = re.compile(r"(?i)\.(?:txt|zip|tar|tgz|gz|bz2|xz)$")
# A message that was refused is read again under its locator: file and line.
_LINE = re.compile(r"#\d+$")
# Browsers and phones number a second download; iOS calls the file in every archive _chat.txt.
_COPY = re.compile(r"\s*(?:\(\d{1,3}\)|-\d{1,2}|\bcopy)$")
_NAMELESS = re.compile(r"(?i)_chat")
_TITLES = tuple(
    re.compile(pattern, re.IGNORECASE)
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
    """Return the sender's name and the text after it; None where the platform wrote the line and
    names nobody.

    A name ends with the first colon and blank. A colon inside a quotation (`… changed the subject
    to “Plan: B”`) ends no name.
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


# Chats have few names and many messages.
@lru_cache(maxsize=4_096)
def _name_in(written: str) -> str | None:
    name = clean_name(written)
    return name if name and len(name) <= _MAX_NAME and not _opens_a_quotation(name) else None


def clean_name(written: str) -> str:
    """Return a name without direction marks, odd blanks and the tilde that marks people who are not
    in the address book.
    """
    return re.sub(r"\s+", " ", without_marks(written)).strip().removeprefix("~").strip()


def _opens_a_quotation(name: str) -> bool:
    return name.count('"') % 2 == 1 or any(
        name.count(opening) > name.count(closing) for opening, closing in _QUOTES
    )


def party_of(name: str) -> dict[str, str]:
    """Return the party of a name: a telephone number where it looks like one, else a handle that is
    the name.
    """
    digits = plain(name).strip()
    if _PHONE.fullmatch(digits) and sum(char.isdigit() for char in digits) >= 7:
        return {"phone": digits}
    return {"name": name, "handle": name}


def chat_of(unit_name: str) -> tuple[str, bool]:
    """Return the chat's name by the file's, and whether WhatsApp itself named the file after it.

    `WhatsApp Chat with Ann.txt` and `与小王的WhatsApp聊天.txt` name the chat; `_chat.txt` takes the name
    of its folder or archive; of any other file it is the name without its ending. Folders above
    have no part in it.
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
        if match := pattern.fullmatch(title.strip()):
            return clean_name(match["chat"].strip(" «»\"'")), True
    return clean_name(stem) or "chat", False


def _stem(part: str) -> str:
    previous = None
    while part != previous:
        previous, part = part, _ENDINGS.sub("", part)
    return _COPY.sub("", part.strip())
