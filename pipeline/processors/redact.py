"""The step `redact`: masks numbers and addresses of people in the text that models read."""

from __future__ import annotations

import re
from collections.abc import Callable

from stdnum import iban, luhn
from stdnum.cn import ric

from pipeline.outcomes import Context, MapStep, Outcome, emit
from pipeline.processors.draft import Cleaned, Draft
from schemas.communications import CallData

# Latin letters only: Chinese text continues without a space before an address and is no part of it.
_EMAIL = re.compile(
    r"[A-Za-z0-9\u00c0-\u024f._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
)
# Four groups of capitals and digits as banks print them, or unbroken; the checksum decides.
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)
# Resident identity number of China, GB 11643: seventeen digits and a check character.
_RESIDENT = re.compile(r"(?<!\d)\d{17}[\dXx](?![\dXx])")
_CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
# International (+ or 00), national (0), a Chinese mobile number, or grouped as in North America.
_PHONE = re.compile(
    r"(?<![A-Za-z0-9_.-])(?:"
    r"\+\d[\d().\s/-]{5,18}\d|00\d[\d\s-]{5,16}\d|\(?0\d[\d().\s/-]{5,14}\d"
    r"|1[3-9]\d[ -]?\d{4}[ -]?\d{4}|\(?[2-9]\d{2}\)?[-.\s]\d{3}[-.\s]\d{4}"
    r")(?![A-Za-z0-9_])"
)
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_DIGIT = re.compile(r"\d")
# At most the fifteen digits of E.164, and more than a short order number or a range of years has.
_MIN_PHONE_DIGITS, _MAX_PHONE_DIGITS = 8, 15


def _is_card(text: str) -> bool:
    return luhn.is_valid(re.sub(r"[ -]", "", text))


def _is_phone(text: str) -> bool:
    digits = sum(char.isdigit() for char in text)
    return _MIN_PHONE_DIGITS <= digits <= _MAX_PHONE_DIGITS and not re.fullmatch(
        r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*", text
    )


def _is_ip(text: str) -> bool:
    return all(int(part) < 256 for part in text.split("."))


# In this order: numbers with a checksum before those that only look like one, so that a card is not
# masked as a telephone number.
_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("<iban>", _IBAN, iban.is_valid),
    ("<id>", _RESIDENT, ric.is_valid),
    ("<card>", _CARD, _is_card),
    ("<ip>", _IPV4, _is_ip),
    ("<phone>", _PHONE, _is_phone),
)


def _replacement(mask: str, valid: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
    """Return a function for `re.sub` that writes `mask` where `valid` accepts the match."""
    return lambda match: mask if valid(match[0]) else match[0]


def redact_text(text: str) -> str:
    """Return a text with personal numbers and addresses masked by kind.

    These are mail and IPv4 addresses, and telephone, card, bank account and identity numbers.

    >>> redact_text("Call +1 (415) 555-0100 or write to anna@example.org.")
    'Call <phone> or write to <email>.'
    """
    if "@" in text:
        text = _EMAIL.sub("<email>", text)
    if not _DIGIT.search(text):
        return text
    for mask, pattern, valid in _KINDS:
        text = pattern.sub(_replacement(mask, valid), text)
    return text


def _model_text(cleaned: Cleaned) -> str:
    """Return the text that models read: subject and reply; of a call also what staff noted."""
    data = cleaned.data
    reply = cleaned.parts.reply or cleaned.parts.body
    notes = (data.remarks, data.result) if isinstance(data, CallData) else ()
    return "\n".join(part for part in (data.subject, reply, *notes) if part)


def redact(draft: Draft, _ctx: Context) -> Outcome[Draft]:
    """Set `draft.redacted_text` to the masked text that models read."""
    draft.redacted_text = redact_text(_model_text(draft.cleaned))
    return emit(draft)


REDACT: MapStep[Draft, Draft] = MapStep("redact", redact)
