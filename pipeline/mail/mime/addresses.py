"""Parse address lists (RFC 5322, section 3.4), including malformed ones.

Handles groups, comments, unquoted commas, encoded names and broken brackets.
"""

from __future__ import annotations

import re

from pipeline.mail.mime.encoded_words import decode_encoded_words
from pipeline.mail.mime.parsed_mail import MailAddress

# Encoded words are kept whole: some mailers leave commas and colons in them.
_SPECIAL = re.compile(r"(=\?[^?\s=]{1,60}\?[bBqQ]\?[^?]*\?=|\\.|[\",;:<>()])")
# Begins only at the first character of a word and gives none back: linear without any "@".
_LOCAL = r"[^\s@<>\"',;:()\[\]]"
_MAILBOX = re.compile(rf"(?<!{_LOCAL}){_LOCAL}++@[^\s@<>\"',;()]+")
_BLANKS = re.compile(r"\s+")
_SCHEME = re.compile(r"^(?:mailto|smtp):", re.IGNORECASE)


class _AddressTokens:
    """The tokens of one address while the list is parsed."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.after: list[str] = []
        self.angle: list[str] | None = None
        self.comment: list[str] = []
        self._at_sign = False

    def add_word(self, word: str) -> None:
        self.words.append(word)
        self._at_sign = self._at_sign or "@" in word

    def set_words(self, words: list[str]) -> None:
        self.words = words
        self._at_sign = any("@" in word for word in words)

    def has_address(self) -> bool:
        return self.angle is not None or self._at_sign


def parse_addresses(text: str, limit: int = 2_000) -> tuple[MailAddress, ...]:
    """Parse a list of addresses; an entry without "@" is kept as a name without an address.

    `text` is a header in Unicode with its encoded words. Linear in its length; returns at most
    `limit` addresses.

    >>> parse_addresses('"Lee, Ann" <ann@example.com>')
    (MailAddress(name='Lee, Ann', email='ann@example.com'),)
    """
    addresses: list[MailAddress] = []
    for entry in _entries(text, limit):
        addresses.extend(_to_addresses(entry))
        if len(addresses) >= limit:
            break
    return tuple(addresses[:limit])


def _entries(text: str, limit: int) -> list[_AddressTokens]:
    tokens = _SPECIAL.split(text)
    # Entries without an address are rare in a list, but a list may consist of them.
    most = 2 * limit
    # An unpaired quotation mark would swallow the rest of the list, so with an odd number of them
    # none is treated as one.
    quotes_pair = tokens.count('"') % 2 == 0
    closes_group = ";" in tokens
    entries: list[_AddressTokens] = []
    entry = _AddressTokens()
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
                _append_token(entry, token[1:] if token[0] == "\\" else token, in_angle)
        elif token == '"':
            quoted = quotes_pair
        elif token == "(" and not in_angle:
            depth = 1
        elif token == "<":
            in_angle = True
            if entry.angle is not None:
                # A comma is missing: the text after the last address is the name of the next one.
                name, entry.after = entry.after, []
                entries.append(entry)
                entry = _AddressTokens()
                entry.set_words(name)
            entry.angle = []
        elif token == ">":
            in_angle = False
        elif token == ":" and closes_group and not in_angle:
            entry = _AddressTokens()
        elif token in ",;" and not (in_angle and token == ","):
            in_angle = False
            if entry.has_address() or token == ";":
                entries.append(entry)
                entry = _AddressTokens()
            elif entry.words:
                # "Smith, John <…>": a comma before any address belongs to the name.
                entry.add_word(token)
        else:
            _append_token(entry, token, in_angle)
    entries.append(entry)
    return entries


def _append_token(entry: _AddressTokens, token: str, in_angle: bool) -> None:
    if in_angle and entry.angle is not None:
        entry.angle.append(token)
    elif entry.angle is not None:
        entry.after.append(token)
    else:
        entry.add_word(token)


def _to_addresses(entry: _AddressTokens) -> list[MailAddress]:
    name = _SCHEME.sub("", decode_encoded_words("".join([*entry.words, *entry.after])).strip())
    email = _email("".join(entry.angle)) if entry.angle is not None else ""
    if "@" not in email:
        inside = "".join(entry.angle) if entry.angle is not None else ""
        match = _MAILBOX.search(name)
        if match is None:
            return _nameless(name, email, inside, entry)
        email = match[0].rstrip(".")
        name = name[: match.start()] + name[match.end() :]
        if "@" in name:
            return [
                MailAddress("", email),
                *(MailAddress("", other.rstrip(".")) for other in _MAILBOX.findall(name)),
            ]
    name = _name(name) or _name(decode_encoded_words("".join(entry.comment)))
    return [MailAddress("" if name == email else name, email)]


def _nameless(name: str, email: str, inside: str, entry: _AddressTokens) -> list[MailAddress]:
    shown = _name(name) or _name(decode_encoded_words("".join(entry.comment)))
    if not shown and not inside:
        return []
    return [MailAddress(shown, "")] if shown and not email else [MailAddress(shown, email)]


def _email(inside: str) -> str:
    """Clean the text between angle brackets: remove a route, a scheme, blanks, double brackets."""
    address = _SCHEME.sub("", inside.strip().strip("<>'\""))
    if "=?" in address:
        address = decode_encoded_words(address)
    if address.startswith("@") and ":" in address:
        address = address.rsplit(":", 1)[1]
    return _BLANKS.sub("", address).rstrip(".")


def _name(text: str) -> str:
    return _BLANKS.sub(" ", text).strip(" ,;'\"<>\t")
