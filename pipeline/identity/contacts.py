"""Contact points (normalised addresses, numbers, handles, ids), and which are on our own side."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from pipeline.identity.phone_numbers import read_phones
from pipeline.identity.phone_text import Unread, is_rounded
from pipeline.identity.placeholders import (
    NO_MORE_PLACEHOLDERS,
    Placeholders,
    strip_direction_marks,
    strip_invisible,
)
from pipeline.mail.mime.addresses import parse_addresses
from pipeline.text.nfkc import nfkc
from schemas.records import ContactKind
from schemas.types import Party

# The first kind that a party has identifies it. A customer number of the shop's own system is never
# shared, a mail address rarely, a telephone by families; a handle is only unique within a source.
CONTACT_PRECEDENCE: tuple[ContactKind, ...] = ("id", "email", "phone", "handle")


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """One normalised way to reach somebody.

    `valid` is False if the value has no known form and is kept as written.
    """

    kind: ContactKind
    value: str
    valid: bool = True

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


# What a value that identifies nobody is, as a quality flag of the record.
_FLAGS: dict[Unread | Literal["placeholder"], str] = {
    "masked": "contact_masked",
    "rounded": "contact_rounded",
    "placeholder": "contact_placeholder",
    "unreadable": "contact_invalid",
}


@dataclass(frozen=True, slots=True)
class ContactReading:
    """The contact points of a party, the strongest first, and what of it could not be read.

    `unread` has the kind and the text of each value that identifies nobody; `flags` say why.
    """

    points: tuple[ContactPoint, ...] = ()
    extension: str = ""
    unread: tuple[tuple[ContactKind, str], ...] = ()
    flags: tuple[str, ...] = ()


# Local part and domain without blanks. The MIME parser has unquoted a quoted local part before;
# internationalised domains are kept as written. A domain has two characters, the last is no dot.
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]++@[^\s@<>()\[\],;:\\\"]+[^\s@<>()\[\],;:\\\".]")
# Addresses that nobody reads identify a machine, not a customer.
_NO_REPLY = re.compile(
    r"^(no|do[-_.]?not|donot)[-_.]?reply|^mailer-daemon$|^postmaster$|^bounces?([-+].*)?$"
    r"|^ne[-_.]?pas[-_.]?repondre|^nicht[-_.]?antworten|^keine[-_.]?antwort|^n[aã]o[-_.]?respond"
    r"|^no[-_.]?respond|^non[-_.]?rispondere",
    re.IGNORECASE,
)
# Privacy screens write a***@example.com: many people share what is left.
_MASKED_EMAIL = re.compile(r"[*•●×█■]|\.{3}")
# Separators that are no separators of mail headers, after an address.
_EMAIL_SEPARATOR = re.compile(r"(?<=[\w>])\s*+[/|、\n]\s*+(?=[^\s@/|]+@)")
_MAILTO = re.compile(r"mailto:|\?(?:subject|body|cc|bcc|to)=.*", re.IGNORECASE)

# Addresses have at most 254 characters (RFC 5321, 4.5.3.1), numbers and handles fewer. What is
# longer identifies nobody, and would fill the caches.
MAX_CONTACT = 1_000
# More addresses in one cell are a list of people, not one person.
_MAX_ADDRESSES = 5
# A number of fewer digits that is not in E.164 has no area code; it is one only in its source.
# Brazil's subscriber numbers are the longest, with nine.
_MIN_COMPLETE_DIGITS = 10
# Contact points repeat within and between conversations; reading a number costs 120 µs, a cache hit
# 0.1 µs.
_CACHE = 65_536


def normalise_email(value: str) -> ContactPoint | None:
    """Return the first address in lower case (NFKC), or None for one that nobody reads.

    An address without a valid form is kept and marked as not valid, unless it is longer than
    `MAX_CONTACT`.

    >>> str(normalise_email("Ann Li <An.Li@Example.com>"))
    'email:an.li@example.com'
    >>> normalise_email("no-reply@example.com") is None
    True
    """
    points = read_email(value).points
    return points[0] if points else None


def normalise_phone(value: str, region: str | None = None) -> ContactPoint | None:
    """Return the first number in E.164, or None for a text that names none.

    `region` is the ISO 3166 code of national numbers without a country code. A number is valid if
    its length is possible (ITU-T E.164), even if its range is not assigned: numbering plans change
    faster than their lists. An extension, a short code and a number without its area code are kept
    as their digits and marked as not valid.

    >>> str(normalise_phone("138 0000 0001", "CN"))
    'phone:+8613800000001'
    >>> normalise_phone("anonymous") is None
    True
    """
    points = read_phone(value, region).points
    return points[0] if points else None


def read_email(value: str, placeholders: Placeholders = NO_MORE_PLACEHOLDERS) -> ContactReading:
    """Return all addresses of a text, such as a cell or a header; the first one counts.

    >>> [str(point) for point in read_email('"Li, Ann" <Ann@b.example>; bo@b.example').points]
    ['email:ann@b.example', 'email:bo@b.example']
    """
    return _known_email(value, placeholders) if len(value) <= MAX_CONTACT else _too_long("email")


def read_phone(
    value: str, region: str | None = None, placeholders: Placeholders = NO_MORE_PLACEHOLDERS
) -> ContactReading:
    """Return all numbers of a text, such as a cell; the first one and its extension count.

    >>> read_phone("138****0021", "CN").flags
    ('contact_masked',)
    """
    return (
        _known_phone(value, region, placeholders)
        if len(value) <= MAX_CONTACT
        else _too_long("phone")
    )


def _too_long(kind: ContactKind) -> ContactReading:
    return ContactReading(unread=((kind, ""),), flags=("contact_invalid",))


@lru_cache(maxsize=_CACHE)
def _known_email(value: str, placeholders: Placeholders) -> ContactReading:
    text = _MAILTO.sub("", nfkc(strip_invisible(value))).strip()
    # A whole text in brackets or quotes; a quoted name has its quotes inside.
    text = text.strip("<>'").strip()
    if placeholders.match("email", text):
        return _nobody("email", value)
    addresses = [text.casefold()]
    if "@" in text and not _EMAIL.fullmatch(addresses[0]):
        parsed = (
            entry.email.casefold()
            for entry in parse_addresses(_EMAIL_SEPARATOR.sub(", ", text), _MAX_ADDRESSES)
        )
        addresses = [email for email in parsed if _EMAIL.fullmatch(email)] or addresses
    points: list[ContactPoint] = []
    unread: dict[str, str] = {}
    for address in dict.fromkeys(addresses):
        if _MASKED_EMAIL.search(address.partition("@")[0]):
            unread[_FLAGS["masked"]] = value
        elif placeholders.match("email", address):
            unread[_FLAGS["placeholder"]] = value
        elif not _EMAIL.fullmatch(address):
            points.append(ContactPoint("email", address, valid=False))
        elif not _NO_REPLY.match(address.rpartition("@")[0]):
            points.append(ContactPoint("email", address))
    return ContactReading(
        tuple(points), unread=(("email", value),) if unread else (), flags=tuple(unread)
    )


@lru_cache(maxsize=_CACHE)
def _known_phone(value: str, region: str | None, placeholders: Placeholders) -> ContactReading:
    if placeholders.match("phone", value):
        return _nobody("phone", value)
    reading = read_phones(value, region)
    numbers = [
        number for number in reading.numbers if not placeholders.match("phone", number.value)
    ]
    reason: Unread | Literal["placeholder"] | None = reading.unread
    if reason is None and len(numbers) < len(reading.numbers):
        reason = "placeholder"
    return ContactReading(
        tuple(ContactPoint("phone", number.value, number.valid) for number in numbers),
        numbers[0].extension if numbers else "",
        (("phone", value),) if reason else (),
        (_FLAGS[reason],) if reason else (),
    )


def _nobody(kind: ContactKind, value: str) -> ContactReading:
    return (
        ContactReading(unread=((kind, value),), flags=(_FLAGS["placeholder"],))
        if value.strip()
        else ContactReading()
    )


def normalise_handle(value: str, source: str) -> ContactPoint | None:
    """Return a handle within its source: the same nickname on two platforms is two people.

    An empty handle, or one longer than `MAX_CONTACT`, gives None.

    >>> str(normalise_handle("@Ann", "whatsapp"))
    'handle:whatsapp/ann'
    """
    if len(value) > MAX_CONTACT:
        return None
    text = nfkc(strip_direction_marks(value)).strip().lstrip("@").strip()
    return ContactPoint("handle", f"{source}/{text.casefold()}") if text else None


def contact_points(party: Party, source: str, region: str | None) -> tuple[ContactPoint, ...]:
    """Return all contact points of a party, strongest first; see `read_contacts`."""
    return read_contacts(party, source, region).points


def read_contacts(
    party: Party, source: str, region: str | None, placeholders: Placeholders = NO_MORE_PLACEHOLDERS
) -> ContactReading:
    """Return what a party's id, address, number and handle say about who it is.

    The first of each kind comes before further ones. A number without its area code is one only in
    its source, as a handle is. Placeholders, no-reply addresses, masked and rounded values and what
    is longer than `MAX_CONTACT` give no contact points.

    >>> party = Party(id="null", phone="555-0100", handle="ann")
    >>> [str(point) for point in read_contacts(party, "shop", "US").points]
    ['phone:shop/5550100', 'handle:shop/ann']
    """
    readings = [
        _read_id(party.id, placeholders) if party.id else ContactReading(),
        read_email(party.email, placeholders) if party.email else ContactReading(),
        read_phone(party.phone, region, placeholders) if party.phone else ContactReading(),
        _read_handle(party.handle, source, placeholders) if party.handle else ContactReading(),
    ]
    first = [reading.points[0] for reading in readings if reading.points]
    further = [point for reading in readings for point in reading.points[1:]]
    return ContactReading(
        tuple(within_source(point, source) for point in (*first, *further)),
        readings[2].extension,
        tuple(item for reading in readings for item in reading.unread),
        tuple(dict.fromkeys(flag for reading in readings for flag in reading.flags)),
    )


def own_placeholders(values: Iterable[str], region: str | None) -> Placeholders:
    """Return the built-in placeholders and an installation's, whose numbers match in any form.

    >>> placeholders = own_placeholders(["138 0000 0099"], "CN")
    >>> read_phone("+86 138-0000-0099", None, placeholders).points
    ()
    """
    known = tuple(values)
    numbers = (
        point.value
        for value in known
        if any(map(str.isdecimal, value)) and (point := normalise_phone(value, region))
    )
    return Placeholders.with_more((*known, *numbers))


def within_source(point: ContactPoint, source: str) -> ContactPoint:
    """Return a number that is only local as one within its source, anything else as it is.

    >>> str(within_source(ContactPoint("phone", "301", valid=False), "asterisk"))
    'phone:asterisk/301'
    """
    if point.kind != "phone" or point.valid or len(point.value) >= _MIN_COMPLETE_DIGITS:
        return point
    return ContactPoint("phone", f"{source}/{point.value}", valid=False)


def _read_id(value: str, placeholders: Placeholders) -> ContactReading:
    text = strip_invisible(value).strip()
    if len(text) > MAX_CONTACT:
        return _too_long("id")
    if placeholders.match("id", text):
        return _nobody("id", value)
    if is_rounded(text):
        return ContactReading(unread=(("id", value),), flags=(_FLAGS["rounded"],))
    return ContactReading((ContactPoint("id", text),))


def _read_handle(value: str, source: str, placeholders: Placeholders) -> ContactReading:
    if len(value) > MAX_CONTACT:
        return _too_long("handle")
    if placeholders.match("handle", value.lstrip("@")):
        return _nobody("handle", value)
    point = normalise_handle(value, source)
    return ContactReading((point,) if point else ())


@dataclass(frozen=True)
class OwnSide:
    """The company's own addresses, mail domains, telephone numbers, handles and names.

    An entry that contains @ is an address; one that starts with @, or consists of letters and dots,
    is a domain with its sub-domains; digits are a number; anything else is a handle or chat name.
    """

    entries: tuple[str, ...] = ()
    region: str | None = None
    _addresses: frozenset[str] = field(init=False, repr=False, compare=False)
    _domains: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _numbers: frozenset[str] = field(init=False, repr=False, compare=False)
    _names: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_kind: dict[str, set[str]] = {
            "address": set(),
            "domain": set(),
            "number": set(),
            "name": set(),
        }
        for entry in self.entries:
            kind, value = _classify_entry(entry, self.region)
            by_kind[kind].add(value)
        object.__setattr__(self, "_addresses", frozenset(by_kind["address"]))
        object.__setattr__(self, "_domains", tuple(sorted(by_kind["domain"])))
        object.__setattr__(self, "_numbers", frozenset(by_kind["number"]))
        object.__setattr__(self, "_names", frozenset(by_kind["name"]))

    def owns_email(self, address: str) -> bool:
        """Return whether a mail address is on our own side, by itself or by its domain.

        >>> OwnSide(("shop.example",)).owns_email("Ann@mail.shop.example")
        True
        """
        if len(address) > MAX_CONTACT:
            return False
        text = nfkc(address).strip().casefold()
        domain = text.rpartition("@")[2]
        return text in self._addresses or any(
            domain == own or domain.endswith(f".{own}") for own in self._domains
        )

    def owns_phone(self, number: str) -> bool:
        """Return whether a number is on our own side; extensions are compared as digits.

        >>> OwnSide(("+86 571 5555 0000", "801")).owns_phone("801")
        True
        """
        point = normalise_phone(number, self.region)
        return point is not None and point.value in self._numbers

    def owns_name(self, name: str) -> bool:
        """Return whether a handle or chat name is on our own side.

        >>> OwnSide(("Tea Shop",)).owns_name("@tea shop")
        True
        """
        return len(name) <= MAX_CONTACT and nfkc(name).strip().lstrip("@").casefold() in self._names

    def owns(self, party: Party) -> bool:
        """Return whether any contact point of a party is on our own side."""
        return (
            (party.email is not None and self.owns_email(party.email))
            or (party.phone is not None and self.owns_phone(party.phone))
            or any(self.owns_name(name) for name in (party.handle, party.id) if name)
        )


def _classify_entry(
    entry: str, region: str | None
) -> tuple[Literal["address", "domain", "number", "name"], str]:
    text = nfkc(entry).strip().casefold()
    if text.startswith("@") and "." in text:
        return "domain", text[1:]
    if "@" in text:
        return "address", text
    if (
        re.fullmatch(r"\+?[\d\s().-]+", text)
        and (point := normalise_phone(text, region)) is not None
    ):
        return "number", point.value
    if re.fullmatch(r"[\w-]+(\.[\w-]+)+", text):
        return "domain", text
    return "name", text
