"""Contact points: normalised addresses and numbers, and which of them are our own side's."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import phonenumbers

from schemas.records import ContactKind
from schemas.types import Party

# The first kind that a party has is the one that identifies it: a number given by the shop's own
# system is never shared, a mail address rarely, a telephone by families, a handle means something
# only inside one source.
CONTACT_PRECEDENCE: tuple[ContactKind, ...] = ("id", "email", "phone", "handle")


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """One way to reach somebody, normalised; `valid` is False where the value is kept as written
    because it fits no form.
    """

    kind: ContactKind
    value: str
    valid: bool = True

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


# Local part and domain without blanks; a quoted local part is folded by the MIME parser before. IDN
# domains come as they are.
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+\.?[^\s@<>()\[\],;:\\\".]+")
# Addresses that nobody reads: they identify a machine of ours or of a provider, not a customer.
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
# An international number starts with +, whatever brackets and invisible direction marks stand
# before it.
_PLUS = re.compile(r"[^\d+]*\+")
# E.164 allows fifteen digits; fewer than seven is an extension or a short code, which means nothing
# outside its exchange.
_MIN_PUBLIC_DIGITS, _MAX_DIGITS = 7, 15


# Contact points repeat within a conversation and between them; parsing a number costs 40 µs, a
# look-up .1 µs.
_CACHE = 65_536


@lru_cache(maxsize=_CACHE)
def normalise_email(value: str) -> ContactPoint | None:
    """Return the address in lower case (NFKC), or None for no-reply and empty ones; an address of
    no valid form is kept, marked.
    """
    text = (
        unicodedata.normalize("NFKC", value)
        .strip()
        .strip("<>")
        .removeprefix("mailto:")
        .strip()
        .casefold()
    )
    if not text or text in _WITHHELD:
        return None
    if not _EMAIL.fullmatch(text):
        return ContactPoint("email", text, valid=False)
    return None if _NO_REPLY.match(text.rpartition("@")[0]) else ContactPoint("email", text)


@lru_cache(maxsize=_CACHE)
def normalise_phone(value: str, region: str | None = None) -> ContactPoint | None:
    """Return a number in E.164, or None for a withheld or empty one.

    `region` is the ISO 3166 code whose national numbers are meant where no country code is given.
    Numbers are kept where they are possible by length (ITU-T E.164), not only where a range is
    assigned: numbering plans move faster than their lists. What is no possible number is kept as
    its digits, marked; extensions and short codes are such.
    """
    text = unicodedata.normalize("NFKC", value).strip()
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
    for candidate, hint in _readings(digits, plus, region):
        try:
            number = phonenumbers.parse(candidate, hint)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(number) and len(digits) >= _MIN_PUBLIC_DIGITS:
            return ContactPoint(
                "phone", phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            )
    return ContactPoint("phone", ("+" if plus else "") + digits[:_MAX_DIGITS], valid=False)


def _readings(digits: str, plus: bool, region: str | None) -> Iterable[tuple[str, str | None]]:
    if plus:
        yield f"+{digits}", None
        return
    if digits.startswith("00"):
        yield f"+{digits[2:]}", None
    if region:
        yield digits, region


def normalise_handle(value: str, source: str) -> ContactPoint | None:
    """Return a handle within its source: the same nickname on two platforms is two people."""
    text = unicodedata.normalize("NFKC", value).strip().lstrip("@").strip()
    return ContactPoint("handle", f"{source}/{text.casefold()}") if text else None


def contact_points(party: Party, source: str, region: str | None) -> tuple[ContactPoint, ...]:
    """Return all contact points of a party, strongest first; withheld numbers and no-reply
    addresses give none.
    """
    found = {
        "id": ContactPoint("id", party.id) if party.id else None,
        "email": normalise_email(party.email) if party.email else None,
        "phone": normalise_phone(party.phone, region) if party.phone else None,
        "handle": normalise_handle(party.handle, source) if party.handle else None,
    }
    return tuple(point for kind in CONTACT_PRECEDENCE if (point := found[kind]) is not None)


@dataclass(frozen=True)
class OwnSide:
    """Who is our own side: mail addresses, mail domains, telephone numbers, handles and names, as
    the settings list them.

    An entry with @ inside is an address, one that starts with @ or has a dot and letters is a
    domain (its sub-domains too), one of digits a number, anything else a handle or a chat name.
    """

    entries: tuple[str, ...] = ()
    region: str | None = None
    _addresses: frozenset[str] = field(init=False, repr=False, compare=False)
    _domains: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _numbers: frozenset[str] = field(init=False, repr=False, compare=False)
    _names: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sorted_out: dict[str, set[str]] = {
            "address": set(),
            "domain": set(),
            "number": set(),
            "name": set(),
        }
        for entry in self.entries:
            kind, value = _sort_entry(entry, self.region)
            sorted_out[kind].add(value)
        object.__setattr__(self, "_addresses", frozenset(sorted_out["address"]))
        object.__setattr__(self, "_domains", tuple(sorted(sorted_out["domain"])))
        object.__setattr__(self, "_numbers", frozenset(sorted_out["number"]))
        object.__setattr__(self, "_names", frozenset(sorted_out["name"]))

    def owns_email(self, address: str) -> bool:
        """Return whether a mail address, in any case, is ours by itself or by its domain."""
        text = unicodedata.normalize("NFKC", address).strip().casefold()
        domain = text.rpartition("@")[2]
        return text in self._addresses or any(
            domain == own or domain.endswith(f".{own}") for own in self._domains
        )

    def owns_phone(self, number: str) -> bool:
        """Return whether a number, as an exchange or a person writes it, is ours; extensions are
        compared as digits.
        """
        point = normalise_phone(number, self.region)
        return point is not None and point.value in self._numbers

    def owns_name(self, name: str) -> bool:
        """Return whether a handle or chat name is ours."""
        return unicodedata.normalize("NFKC", name).strip().lstrip("@").casefold() in self._names

    def owns(self, party: Party) -> bool:
        """Return whether any of a party's contact points is ours."""
        return (
            (party.email is not None and self.owns_email(party.email))
            or (party.phone is not None and self.owns_phone(party.phone))
            or any(self.owns_name(name) for name in (party.handle, party.id) if name)
        )


def _sort_entry(
    entry: str, region: str | None
) -> tuple[Literal["address", "domain", "number", "name"], str]:
    text = unicodedata.normalize("NFKC", entry).strip().casefold()
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


def strongest_point(points: Sequence[ContactPoint]) -> ContactPoint | None:
    """Return the contact point that identifies: the strongest valid one, else the strongest of all,
    else None.
    """
    return next((point for point in points if point.valid), points[0] if points else None)
