"""From the legs of one call to the call: who called whom, when it was answered by a person, how
long they spoke, how it ended.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pipeline.identity.contacts import OwnSide
from pipeline.ingest.call.asterisk.cdr_rows import Row, epoch_of
from pipeline.ingest.local_times import rfc3339, seconds_between
from schemas.communications import Disposition
from schemas.types import Channel, Direction

COMPLETED, MISSED = "comm.call.completed", "comm.call.missed"

# Applications that join two channels. Everything else that "answers" (Hangup, Playback, an IVR,
# VoiceMail) is the exchange itself.
_JOINING = frozenset(
    {"dial", "queue", "followme", "retrydial", "bridge", "pickup", "parkedcall", "directedpickup"}
)
_DISPOSITIONS = {
    "ANSWERED": Disposition.ANSWERED,
    "NO ANSWER": Disposition.NO_ANSWER,
    "BUSY": Disposition.BUSY,
    "FAILED": Disposition.FAILED,
    "CONGESTION": Disposition.FAILED,
}
# Where nobody answered, the legs end differently: one phone that rang outweighs one that was busy,
# that one a broken line.
_PRECEDENCE = ("NO ANSWER", "BUSY", "CONGESTION", "FAILED")
# Extensions have up to six digits: more is a public number in every numbering plan that exchanges
# meet. Other rules: `own`.
_EXTENSION = re.compile(r"\d{1,6}")
_CHANNEL = re.compile(r"[^/]+/(?P<peer>.+?)(?:-[0-9a-fA-F]{2,})?(?:;[12])?")
_CLID = re.compile(r'\s*"?(?P<name>.*?)"?\s*<(?P<number>[^<>]*)>\s*')
# The name that a trunk cuts off a number: its first digits, then the halves of a character.
_NUMBER_AS_NAME = re.compile(r"\+?(\d{6,})")
# The id's second and the row's start are the same moment; a quarter of an hour is the smallest
# error that a zone can make.
_ZONE_STEP = timedelta(minutes=15)


def call_data(rows: Sequence[Row], own: OwnSide) -> tuple[str, dict[str, Any]]:
    """Return the event's type and body (the contract is `CallData`) for the legs of one call, in
    the order of the file.

    - Answered means answered by a person: a leg of Dial or Queue with a far channel and the
      disposition ANSWERED. A call that has none is missed. Where every leg was answered by an
      application alone, `answered_at` and the disposition are the exchange's, `answered_by` names
      the application, and the type still says missed.
    - `talk_s` is the time in which at least one such leg was up (billsec from its answer), so that
      transfers add up and the two halves of a Local channel do not count twice. Seconds.
    - The direction follows `own` where it knows one of the two numbers, else their form: up to six
      digits are an extension.
    """
    root = _root(rows)
    spoken = _legs_with_people(rows)
    by_machine = not spoken and all(row.answered for row in rows)
    direction = _direction(root, own)
    data: dict[str, Any] = {
        "channel": Channel.CALL.value,
        "direction": direction.value,
        "provider": "asterisk",
        "conversation": root.call or None,
        "from": _caller(root),
        "to": [_callee(root.dst)] if root.dst else [],
        "staff": _staff(root, spoken, direction),
        **_times(rows, spoken, by_machine),
        "legs": len(rows),
        "rows": len(rows),
    }
    word = _word(rows, spoken)
    disposition = _DISPOSITIONS.get(word)
    if not spoken and any(
        row.answered and row.lastapp.casefold().startswith("voicemail") for row in rows
    ):
        disposition = Disposition.VOICEMAIL
    data["disposition"] = disposition.value if disposition else None
    data["hangup_cause"] = word or None
    if by_machine:
        data["answered_by"] = next((row.lastapp for row in rows if row.lastapp), "application")
    data |= _exchange_fields(root, spoken[-1] if spoken else rows[-1])
    return (COMPLETED if spoken else MISSED), {
        key: value for key, value in data.items() if value not in (None, "", [], {})
    }


def _root(rows: Sequence[Row]) -> Row:
    """Return the leg that began the call: that of the channel after which the call is named, else
    the earliest.
    """
    return next(
        (row for row in rows if row.uniqueid and row.uniqueid == row.linkedid),
        min(rows, key=lambda row: row.start),
    )


# ---- answered by whom
# -------------------------------------------------------------------------------------------------------


def _legs_with_people(rows: Sequence[Row]) -> list[Row]:
    """Return the legs that a person answered, in the order of the answer; real channels before
    Local ones, which only stand for them.
    """
    answered = [
        row
        for row in rows
        if row.answered and row.dstchannel and row.lastapp.casefold() in _JOINING
    ]
    real = [row for row in answered if not _is_local(row.dstchannel)]
    if not real:
        real = [row for row in answered if not _ends_in_machine(row, rows)]
    return sorted(real, key=lambda row: (row.answer or row.start, row.line))


def _ends_in_machine(leg: Row, rows: Sequence[Row]) -> bool:
    """Return whether the far half of a leg's Local channel is among the rows: it then tells that no
    real channel answered it.
    """
    half = leg.dstchannel.removesuffix(";1").removesuffix(";2")
    return any(row.channel.startswith(f"{half};") for row in rows)


def _is_local(channel: str) -> bool:
    return channel.casefold().startswith("local/")


def _word(rows: Sequence[Row], spoken: Sequence[Row]) -> str:
    """Return the exchange's own word for how the call ended."""
    words = [row.disposition for row in rows]
    if spoken or all(word == "ANSWERED" for word in words):
        return "ANSWERED"
    return next(
        (word for word in _PRECEDENCE if word in words),
        next((word for word in words if word != "ANSWERED"), ""),
    )


# ---- times
# ------------------------------------------------------------------------------------------------------------------


def _times(rows: Sequence[Row], spoken: Sequence[Row], by_machine: bool) -> dict[str, Any]:
    started = min(row.start for row in rows)
    ends = [row.end for row in rows if row.end]
    answers = [row.answer for row in spoken or (rows if by_machine else ()) if row.answer]
    times: dict[str, Any] = {
        "started_at": rfc3339(started),
        "answered_at": rfc3339(min(answers)) if answers else None,
        "ended_at": rfc3339(max(ends)) if ends else None,
        "talk_s": _talk(spoken) if spoken else None,
    }
    made = next((epoch for row in rows if (epoch := epoch_of(row.call))), None)
    if made and abs(made - started) >= _ZONE_STEP:
        # Seen in practice where the zone was given wrong, or the exchange writes GMT (usegmtime):
        # kept, so that it can be seen.
        times["uniqueid_says"] = rfc3339(made)
    return times


def _talk(spoken: Sequence[Row]) -> float | None:
    """Return the seconds in which at least one of the legs was up, or None where the rows do not
    tell.
    """
    spans: list[tuple[datetime, datetime]] = []
    for row in spoken:
        if row.answer and row.billsec is not None:
            spans.append((row.answer, row.answer + timedelta(seconds=row.billsec)))
        elif row.answer and row.end and row.end >= row.answer:
            spans.append((row.answer, row.end))
    if not spans:
        return next((row.billsec for row in spoken if row.billsec is not None), None)
    total, reached = 0.0, spans[0][0]
    for begin, end in sorted(spans):
        total += max(0.0, seconds_between(max(begin, reached), end))
        reached = max(reached, end)
    return total


# ---- who
# --------------------------------------------------------------------------------------------------------------------


def _direction(root: Row, own: OwnSide) -> Direction:
    from_us, to_us = _listed(root.src, own), _listed(root.dst, own)
    if not from_us and not to_us:
        # A channel named after the number that was dialled is the line it came in by: a short
        # number outside, not an extension.
        from_us = bool(_EXTENSION.fullmatch(root.src)) and peer_of(root.channel) != root.dst
        # What is not a number is a place in our own dial plan: s, an IVR, a feature code.
        to_us = bool(_EXTENSION.fullmatch(root.dst)) or not re.fullmatch(r"\+?\d+", root.dst)
    if from_us and to_us:
        return Direction.INTERNAL
    return Direction.OUTBOUND if from_us else Direction.INBOUND


def _listed(number: str, own: OwnSide) -> bool:
    return bool(number) and (own.owns_phone(number) or own.owns_name(number))


def _caller(root: Row) -> dict[str, str]:
    match = _CLID.fullmatch(root.clid)
    number = root.src or (match["number"].strip() if match else "")
    name = (match["name"] if match else root.clid).replace('"', "").strip()
    party = {"phone": number} if number else {}
    if name and not _is_number(name, number):
        party["name"] = name
    return party


def _is_number(name: str, number: str) -> bool:
    if name.strip("<>") == number:
        return True
    digits = _NUMBER_AS_NAME.match(name)
    return bool(digits and "".join(filter(str.isdigit, number)).startswith(digits[1]))


def _callee(dst: str) -> dict[str, str]:
    return {"phone": dst} if any(char.isdigit() for char in dst) else {"name": dst}


def _staff(root: Row, spoken: Sequence[Row], direction: Direction) -> str | None:
    if direction is Direction.INBOUND:
        return peer_of(spoken[0].dstchannel) if spoken else None
    return root.src if _EXTENSION.fullmatch(root.src) else peer_of(root.channel) or root.src or None


def peer_of(channel: str) -> str | None:
    """Return the peer or extension in a channel's name: 301 for SIP/301-0000a1b2,
    PJSIP/301-0000000f or Local/301@agents-0001;1.
    """
    match = _CHANNEL.fullmatch(channel)
    if not match:
        return None
    # DAHDI/i1/13800000001-5 names the span before the number.
    peer = match["peer"].rpartition("/")[2]
    return peer.partition("@")[0] or None


def _exchange_fields(root: Row, last: Row) -> dict[str, str]:
    """Return what only the exchange knows; it ends up in the record's attributes."""
    return {
        "accountcode": root.accountcode,
        "dcontext": root.dcontext,
        "userfield": root.userfield or last.userfield,
        "peeraccount": last.peeraccount,
        "lastapp": last.lastapp,
        "lastdata": last.lastdata,
    }
