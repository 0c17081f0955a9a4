"""Contact points (normalised addresses, numbers, handles, ids), and which are on our own side."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import phonenumbers

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


# Local part and domain without blanks. The MIME parser has unquoted a quoted local part before;
# internationalised domains are kept as written. A domain has two characters, the last is no dot.
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]++@[^\s@<>()\[\],;:\\\"]+[^\s@<>()\[\],;:\\\".]")
# Addresses that nobody reads identify a machine, not a customer.
_NO_REPLY = re.compile(
    r"^(no|do[-_.]?not|donot)[-_.]?reply|^mailer-daemon$|^postmaster$|^bounces?([-+].*)?$",
    re.IGNORECASE,
)
# What exchanges and telephone networks write for a caller who hides the number.
_WITHHELD = frozenset(
    {
        "anonymous",
        "unknown",
        "private",
        "withheld",
        "restricted",
        "unavailable",
        "blocked",
        "anonymous.invalid",
        "asterisk",
        "s",
        "none",
        "null",
    }
    | {"匿名", "未知", "未知号码", "私人号码", "隐藏号码", "未顯示號碼", "未显示号码"}
)
# An international number starts with +, perhaps after brackets and invisible direction marks.
_PLUS = re.compile(r"[^\d+]*\+")
# E.164 allows fifteen digits. Fewer than seven are an extension or a short code, which is only
# meaningful inside its exchange.
_MIN_PUBLIC_DIGITS, _MAX_DIGITS = 7, 15


# Addresses have at most 254 characters (RFC 5321, 4.5.3.1), numbers and handles fewer. What is
# longer identifies nobody, and would fill the caches.
MAX_CONTACT = 1_000
# Contact points repeat within and between conversations; parsing a number costs 40 µs, a cache hit
# 0.1 µs.
_CACHE = 65_536


def normalise_email(value: str) -> ContactPoint | None:
    """Return the address in lower case (NFKC), or None for an empty or no-reply address.

    An address without a valid form is kept and marked as not valid, unless it is longer than
    `MAX_CONTACT`.

    >>> str(normalise_email("<An.Li@Example.com>"))
    'email:an.li@example.com'
    >>> normalise_email("no-reply@example.com") is None
    True
    """
    return _known_email(value) if len(value) <= MAX_CONTACT else None


@lru_cache(maxsize=_CACHE)
def _known_email(value: str) -> ContactPoint | None:
    text = nfkc(value).strip().strip("<>").removeprefix("mailto:").strip().casefold()
    if not text or text in _WITHHELD:
        return None
    if not _EMAIL.fullmatch(text):
        return ContactPoint("email", text, valid=False)
    return None if _NO_REPLY.match(text.rpartition("@")[0]) else ContactPoint("email", text)


def normalise_phone(value: str, region: str | None = None) -> ContactPoint | None:
    """Return a number in E.164, or None for a withheld or empty one.

    `region` is the ISO 3166 code of national numbers without a country code. A number is valid if
    its length is possible (ITU-T E.164), even if its range is not assigned: numbering plans change
    faster than their lists. Anything else, such as an extension or a short code, is kept as its
    digits and marked as not valid, unless it is longer than `MAX_CONTACT`.

    >>> str(normalise_phone("138 0000 0001", "CN"))
    'phone:+8613800000001'
    >>> normalise_phone("anonymous") is None
    True
    """
    return _known_phone(value, region) if len(value) <= MAX_CONTACT else None


@lru_cache(maxsize=_CACHE)
def _known_phone(value: str, region: str | None) -> ContactPoint | None:
    text = nfkc(value).strip()
    text = (
        re.sub(r"^(tel|sip|sips|whatsapp|callto):", "", text, flags=re.IGNORECASE)
        .partition("@")[0]
        .partition(";")[0]
    )
    if not text or text.casefold() in _WITHHELD:
        return None
    digits = "".join(char for char in text if char.isdecimal())
    if not digits:
        return None
    plus = _PLUS.match(text) is not None
    for candidate, hint in _interpretations(digits, plus, region):
        try:
            number = phonenumbers.parse(candidate, hint)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(number) and len(digits) >= _MIN_PUBLIC_DIGITS:
            return ContactPoint(
                "phone", phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            )
    return ContactPoint("phone", ("+" if plus else "") + digits[:_MAX_DIGITS], valid=False)


def _interpretations(
    digits: str, plus: bool, region: str | None
) -> Iterable[tuple[str, str | None]]:
    if plus:
        yield f"+{digits}", None
        return
    if digits.startswith("00"):
        yield f"+{digits[2:]}", None
    if region:
        yield digits, region


def normalise_handle(value: str, source: str) -> ContactPoint | None:
    """Return a handle within its source: the same nickname on two platforms is two people.

    An empty handle, or one longer than `MAX_CONTACT`, gives None.

    >>> str(normalise_handle("@Ann", "whatsapp"))
    'handle:whatsapp/ann'
    """
    if len(value) > MAX_CONTACT:
        return None
    text = nfkc(value).strip().lstrip("@").strip()
    return ContactPoint("handle", f"{source}/{text.casefold()}") if text else None


def contact_points(party: Party, source: str, region: str | None) -> tuple[ContactPoint, ...]:
    """Return all contact points of a party, strongest first.

    Withheld numbers, no-reply addresses and what is longer than `MAX_CONTACT` give none.
    """
    by_kind = {
        "id": ContactPoint("id", party.id) if party.id and len(party.id) <= MAX_CONTACT else None,
        "email": normalise_email(party.email) if party.email else None,
        "phone": normalise_phone(party.phone, region) if party.phone else None,
        "handle": normalise_handle(party.handle, source) if party.handle else None,
    }
    return tuple(point for kind in CONTACT_PRECEDENCE if (point := by_kind[kind]) is not None)


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
