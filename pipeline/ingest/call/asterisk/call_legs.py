"""Turns the legs of a call into one event: parties, answer, talk time, disposition."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pipeline.identity.contacts import OwnSide
from pipeline.identity.direction import direction_between
from pipeline.ingest.call.asterisk.cdr_rows import CdrRow, channel_created_at
from pipeline.ingest.local_times import rfc3339, seconds_between
from schemas.communications import Disposition
from schemas.types import Channel, Direction

COMPLETED, MISSED = "comm.call.completed", "comm.call.missed"

# Applications that connect two channels. Whatever else "answers" (Hangup, Playback, an IVR,
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
# If nobody answered, the legs may have different dispositions: a phone that rang counts more than a
# busy one, and that one more than a failed line.
_PRECEDENCE = ("NO ANSWER", "BUSY", "CONGESTION", "FAILED")
# Extensions have up to six digits; longer numbers are public in all numbering plans. The option
# `own` states other rules.
_EXTENSION = re.compile(r"\d{1,6}")
_CHANNEL = re.compile(r"[^/]+/(?P<peer>.+?)(?:-[0-9a-fA-F]{2,})?(?:;[12])?")
_CLID = re.compile(r"(?P<name>.*)<(?P<number>[^<>]*)>\s*+")
# A name that a trunk made of a number by cutting it: its first digits, then half a character.
_NUMBER_AS_NAME = re.compile(r"\+?(\d{6,})")
# The time in uniqueid and the start of the row are the same instant. A difference of a quarter of
# an hour, the smallest step between time zones, means that the zone is wrong.
_ZONE_STEP = timedelta(minutes=15)


def call_data(rows: Sequence[CdrRow], own: OwnSide) -> tuple[str, dict[str, Any]]:
    """Return the event type and the data (`CallData`) of a call, from its legs in file order.

    - Answered means answered by a person: a leg of Dial or Queue with a far channel and the
      disposition ANSWERED. A call without such a leg is missed. If all legs were answered by an
      application, `answered_at` and the disposition are the exchange's, `answered_by` names the
      application, and the type is still missed.
    - `talk_s` is the time in seconds during which at least one such leg was up (billsec from its
      answer): transfers add up, and the two halves of a Local channel do not count twice.
    - The direction follows `own` if it knows one of the two numbers, else the form of the numbers:
      up to six digits are an extension.
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


def _root(rows: Sequence[CdrRow]) -> CdrRow:
    """Return the leg that started the call.

    It is the leg of the channel after which the call is named, else the earliest one.
    """
    return next(
        (row for row in rows if row.uniqueid and row.uniqueid == row.linkedid),
        min(rows, key=lambda row: row.start),
    )


# ---- who answered


def _legs_with_people(rows: Sequence[CdrRow]) -> list[CdrRow]:
    """Return the legs that a person answered, in the order of the answer.

    Real channels exclude Local channels, which only stand for them.
    """
    answered = [
        row
        for row in rows
        if row.answered and row.dstchannel and row.lastapp.casefold() in _JOINING
    ]
    real = [row for row in answered if not _is_local(row.dstchannel)]
    if not real:
        channels = sorted(row.channel for row in rows)
        real = [row for row in answered if not _ends_in_machine(row, channels)]
    return sorted(real, key=lambda row: (row.answer or row.start, row.line))


def _ends_in_machine(leg: CdrRow, channels: Sequence[str]) -> bool:
    """Return whether the far half of a leg's Local channel is among the channels, in order.

    That half then shows that no real channel answered it.
    """
    half = leg.dstchannel.removesuffix(";1").removesuffix(";2") + ";"
    position = bisect_left(channels, half)
    return position < len(channels) and channels[position].startswith(half)


def _is_local(channel: str) -> bool:
    return channel.casefold().startswith("local/")


def _word(rows: Sequence[CdrRow], spoken: Sequence[CdrRow]) -> str:
    """Return the exchange's own word for the end of the call."""
    words = [row.disposition for row in rows]
    if spoken or all(word == "ANSWERED" for word in words):
        return "ANSWERED"
    return next(
        (word for word in _PRECEDENCE if word in words),
        next((word for word in words if word != "ANSWERED"), ""),
    )


# ---- times


def _times(rows: Sequence[CdrRow], spoken: Sequence[CdrRow], by_machine: bool) -> dict[str, Any]:
    started = min(row.start for row in rows)
    ends = [row.end for row in rows if row.end]
    answers = [row.answer for row in spoken or (rows if by_machine else ()) if row.answer]
    times: dict[str, Any] = {
        "started_at": rfc3339(started),
        "answered_at": rfc3339(min(answers)) if answers else None,
        "ended_at": rfc3339(max(ends)) if ends else None,
        "talk_s": _talk(spoken) if spoken else None,
    }
    created = next((at for row in rows if (at := channel_created_at(row.call))), None)
    if created and abs(created - started) >= _ZONE_STEP:
        # Happens in practice if the zone option is wrong, or if the exchange writes GMT
        # (usegmtime); kept, so that it can be noticed.
        times["uniqueid_says"] = rfc3339(created)
    return times


def _talk(spoken: Sequence[CdrRow]) -> float | None:
    """Return the seconds during which at least one leg was up, or None where it is unknown."""
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


def _direction(root: CdrRow, own: OwnSide) -> Direction:
    from_us, to_us = _is_own_number(root.src, own), _is_own_number(root.dst, own)
    if not from_us and not to_us:
        # A channel that is named after the dialled number is the line by which the call came in; a
        # short number calling on it is external, not an extension.
        from_us = bool(_EXTENSION.fullmatch(root.src)) and channel_peer(root.channel) != root.dst
        # A destination that is not a number belongs to our own dial plan: s, an IVR, a feature
        # code.
        to_us = bool(_EXTENSION.fullmatch(root.dst)) or not re.fullmatch(r"\+?\d+", root.dst)
    return direction_between(from_us, to_us)


def _is_own_number(number: str, own: OwnSide) -> bool:
    return bool(number) and (own.owns_phone(number) or own.owns_name(number))


def _caller(root: CdrRow) -> dict[str, str]:
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


def _staff(root: CdrRow, spoken: Sequence[CdrRow], direction: Direction) -> str | None:
    if direction is Direction.INBOUND:
        return channel_peer(spoken[0].dstchannel) if spoken else None
    return (
        root.src
        if _EXTENSION.fullmatch(root.src)
        else channel_peer(root.channel) or root.src or None
    )


def channel_peer(channel: str) -> str | None:
    """Return the peer or extension in a channel's name, or None.

    >>> channel_peer("PJSIP/301-0000000f"), channel_peer("Local/301@agents-0001;1")
    ('301', '301')
    """
    match = _CHANNEL.fullmatch(channel)
    if not match:
        return None
    # DAHDI/i1/13800000001-5 names the span before the number.
    peer = match["peer"].rpartition("/")[2]
    return peer.partition("@")[0] or None


def _exchange_fields(root: CdrRow, last: CdrRow) -> dict[str, str]:
    """Return what only the exchange knows; it becomes the record's attributes."""
    return {
        "accountcode": root.accountcode,
        "dcontext": root.dcontext,
        "userfield": root.userfield or last.userfield,
        "peeraccount": last.peeraccount,
        "lastapp": last.lastapp,
        "lastdata": last.lastdata,
    }
