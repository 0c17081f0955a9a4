"""Lists of addresses (RFC 5322 §3.4) as they are written: groups, comments, unquoted commas,
encoded names, broken brackets.
"""

from __future__ import annotations

import re

from pipeline.mail.mime.encoded_words import decode_words
from pipeline.mail.mime.parsed_mail import Address

# Encoded words stay whole: some mailers leave commas and colons in them.
_SPECIAL = re.compile(r"(=\?[^?\s=]{1,60}\?[bBqQ]\?[^?]*\?=|\\.|[\",;:<>()])")
_MAILBOX = re.compile(r"[^\s@<>\"',;:()\[\]]+@[^\s@<>\"',;()]+")
_BLANKS = re.compile(r"\s+")
_SCHEME = re.compile(r"^(?:mailto|smtp):", re.IGNORECASE)


class _Entry:
    """One address while it is being read."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.after: list[str] = []
        self.angle: list[str] | None = None
        self.comment: list[str] = []

    def has_address(self) -> bool:
        return self.angle is not None or any("@" in word for word in self.words)


def parse_addresses(text: str, limit: int = 2_000) -> tuple[Address, ...]:
    """Read a list of addresses; what has no "@" is kept as a name without an address, if it is a
    name at all.

    `text` is a header in Unicode with its encoded words; linear in its length; at most `limit`
    addresses.
    """
    addresses: list[Address] = []
    for entry in _entries(text, limit):
        addresses.extend(_finished(entry))
        if len(addresses) >= limit:
            break
    return tuple(addresses[:limit])


def _entries(text: str, limit: int) -> list[_Entry]:
    tokens = _SPECIAL.split(text)
    # Entries that turn out to be no address are rare in a list, but a list may hold nothing else.
    most = 2 * limit
    # An odd quotation mark would swallow the rest of the list: then none of them is one.
    quotes_pair = tokens.count('"') % 2 == 0
    closes_group = ";" in tokens
    entries: list[_Entry] = []
    entry = _Entry()
    quoted = False
    depth = 0
    in_angle = False
    for token in tokens:
        if not token:
            continue
        if len(entries) > most:
            break
        if depth:
            depth += (token == "(") - (token == ")")
            if depth:
                entry.comment.append(token)
        elif quoted:
            if token == '"':
                quoted = False
            else:
                _put(entry, token[1:] if token[0] == "\\" else token, in_angle)
        elif token == '"':
            quoted = quotes_pair
        elif token == "(" and not in_angle:
            depth = 1
        elif token == "<":
            in_angle = True
            if entry.angle is not None:
                # A comma is missing: what stands after the last address is the next one's name.
                name, entry.after = entry.after, []
                entries.append(entry)
                entry = _Entry()
                entry.words = name
            entry.angle = []
        elif token == ">":
            in_angle = False
        elif token == ":" and closes_group and not in_angle:
            entry = _Entry()
        elif token in ",;" and not (in_angle and token == ","):
            in_angle = False
            if entry.has_address() or token == ";":
                entries.append(entry)
                entry = _Entry()
            elif entry.words:
                # "Smith, John <…>": a comma before any address belongs to the name.
                entry.words.append(token)
        else:
            _put(entry, token, in_angle)
    entries.append(entry)
    return entries


def _put(entry: _Entry, token: str, in_angle: bool) -> None:
    if in_angle and entry.angle is not None:
        entry.angle.append(token)
    elif entry.angle is not None:
        entry.after.append(token)
    else:
        entry.words.append(token)


def _finished(entry: _Entry) -> list[Address]:
    name = _SCHEME.sub("", decode_words("".join([*entry.words, *entry.after])).strip())
    email = _email("".join(entry.angle)) if entry.angle is not None else ""
    if "@" not in email:
        inside = "".join(entry.angle) if entry.angle is not None else ""
        found = _MAILBOX.search(name)
        if found is None:
            return _nameless(name, email, inside, entry)
        email = found[0].rstrip(".")
        name = name[: found.start()] + name[found.end() :]
        if "@" in name:
            return [
                Address("", email),
                *(Address("", other.rstrip(".")) for other in _MAILBOX.findall(name)),
            ]
    name = _name(name) or _name(decode_words("".join(entry.comment)))
    return [Address("" if name == email else name, email)]


def _nameless(name: str, email: str, inside: str, entry: _Entry) -> list[Address]:
    shown = _name(name) or _name(decode_words("".join(entry.comment)))
    if not shown and not inside:
        return []
    return [Address(shown, "")] if shown and not email else [Address(shown, email)]


def _email(inside: str) -> str:
    """Clean what stands between angle brackets: a route before it, a scheme, blanks, and brackets
    doubled.
    """
    address = _SCHEME.sub("", inside.strip().strip("<>'\""))
    if "=?" in address:
        address = decode_words(address)
    if address.startswith("@") and ":" in address:
        address = address.rsplit(":", 1)[1]
    return _BLANKS.sub("", address).rstrip(".")


def _name(text: str) -> str:
    return _BLANKS.sub(" ", text).strip(" ,;'\"<>\t")
