"""What follows from a record's neighbours: flags, fulfilled follow-ups and links of threads."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import cos, log1p, pi
from statistics import median

from pipeline.processors.converse.entries import CALL, Flag, FollowUpEntry, RecordEntry
from pipeline.processors.converse.state import Thread

_MINUTE_MS, _DAY_MS = 60_000, 86_400_000

# A record is compared with at most so many records before it: a day of a busy chat, and a bound
# on the cost of one record.
LOOKBACK_RECORDS = 64
# Customers without an answer send the same text again within the day (chatwoot #9314: within
# seconds). Staff members repeat canned sentences to one customer all day; the same sentence
# within ten minutes was delivered twice.
_REPEAT_MS = {"customer": _DAY_MS, "own": 10 * _MINUTE_MS}
# Ten of 64 bits: an angle whose cosine is .88. One pair of unrelated texts in a hundred million
# is as near.
_NEAR_BITS = 10
# Near duplicates have about the same length.
_NEAR_LENGTH = 0.2
# With fewer than a dozen neighbours nothing is usual. 3.5: B. Iglewicz and D. Hoaglin, How to
# detect and handle outliers, 1993. Lengths are compared by their logarithm, for they vary by
# factors; the spread is at least .35 (a factor of 1.4), or else one different word would be an
# outlier for people who always write the same. 1.4826: from the median absolute deviation to the
# standard deviation of a normal distribution.
_MIN_NEIGHBOURS, _OUTLIER_Z, _MIN_SPREAD, _MAD_TO_SIGMA = 12, 3.5, 0.35, 1.4826
# Queues and phones without a network bring messages minutes late; later ones confuse people who
# read the conversation.
LATE_MS = 10 * _MINUTE_MS

_SIDES = {
    "ask": "customer",
    "courtesy": "customer",
    "talk": "customer",
    "human": "own",
    "bot": "own",
    "auto": "own",
    "none": "",
}


def neighbour_flags(entries: Sequence[RecordEntry], position: int) -> tuple[Flag, ...]:
    """Return a record's flags that follow from the `LOOKBACK_RECORDS` before it.

    These are duplicate_of or near_duplicate, and outlier.
    """
    entry = entries[position]
    side = _SIDES[entry.role]
    if not side:
        return ()
    before = [
        other
        for other in entries[max(0, position - LOOKBACK_RECORDS) : position]
        if _SIDES[other.role] == side
    ]
    repeat = _repeat(entry, before, entry.at - _REPEAT_MS[side]) if entry.text else None
    outlier = _outlier(entry, before)
    return tuple(flag for flag in (repeat, outlier) if flag is not None)


def _repeat(entry: RecordEntry, before: Sequence[RecordEntry], since: int) -> Flag | None:
    nearest: tuple[int, RecordEntry] | None = None
    for other in before:
        if other.at < since:
            continue
        if other.text == entry.text:
            return "duplicate_of", other.record_id, None
        if other.simhash and entry.simhash:
            bits = (other.simhash ^ entry.simhash).bit_count()
            if bits <= _NEAR_BITS and abs(other.size - entry.size) <= _NEAR_LENGTH * entry.size:
                nearest = min(nearest, (bits, other)) if nearest else (bits, other)
    if nearest is None:
        return None
    return "near_duplicate", nearest[1].record_id, round(cos(pi * nearest[0] / 64), 3)


def _outlier(entry: RecordEntry, before: Sequence[RecordEntry]) -> Flag | None:
    call = entry.bits & CALL
    channel = entry.channel
    sizes = sorted(
        other.size
        for other in before
        if other.channel == channel and other.size > 0 and other.bits & CALL == call
    )
    if not entry.size or len(sizes) < _MIN_NEIGHBOURS:
        return None
    own = log1p(entry.size)
    # Most records are nearer to the median than any outlier can be, and the median of sizes
    # costs less than that of logarithms.
    lower, upper = log1p(sizes[(len(sizes) - 1) // 2]), log1p(sizes[len(sizes) // 2])
    if lower - own <= _OUTLIER_Z * _MIN_SPREAD and own - upper <= _OUTLIER_Z * _MIN_SPREAD:
        return None
    middle = (lower + upper) / 2
    spread = max(_MAD_TO_SIGMA * median(abs(log1p(size) - middle) for size in sizes), _MIN_SPREAD)
    score = (own - middle) / spread
    # A short text is a normal answer; a call that is far shorter than usual broke off.
    if score > _OUTLIER_Z or (call and score < -_OUTLIER_Z):
        return "outlier", None, round(score, 2)
    return None


def late_flags(entries: Sequence[RecordEntry]) -> dict[str, Flag]:
    """Return the flags of the records of a conversation that arrived late.

    A record is late if a record that happened after it arrived more than `LATE_MS` before it.
    """
    late: dict[str, Flag] = {}
    # The first arrival of those that happened later, and the same of those at the current
    # instant, which count for the records before it only.
    earliest, earliest_id = _NEVER, ""
    current, current_id, current_at = _NEVER, "", 0
    for entry in reversed(entries):
        if entry.at != current_at:
            earliest, earliest_id = min((earliest, earliest_id), (current, current_id))
            current, current_id, current_at = _NEVER, "", entry.at
        received = entry.received
        if received < current or (received == current and entry.record_id < current_id):
            current, current_id = received, entry.record_id
        if received - earliest > LATE_MS:
            late[entry.record_id] = ("late", earliest_id, (received - earliest) / 1000)
    return late


def any_late(received_at: int, entries: Sequence[RecordEntry]) -> bool:
    """Return whether one of the records that continue a conversation makes an earlier one late.

    `received_at` is the last arrival before them.
    """
    for entry in entries:
        if entry.received + LATE_MS < received_at:
            return True
        received_at = max(received_at, entry.received)
    return False


# Later than every instant of the history.
_NEVER = 1 << 62


# "Anything else?" a minute later does not fulfil a promise that is due tomorrow, nor does the
# answer to the customer's thanks: a message counts after a twentieth of the time until it is
# due, at most ten minutes and at least one.
_SAME_TURN_FRACTION, _SAME_TURN_MAX, _SAME_TURN_MIN = 20, 10 * _MINUTE_MS, _MINUTE_MS


def earliest_fulfilment(at: int, due_at: int, call: bool) -> int:
    """Return from when on a message of the own side may fulfil a follow-up; instants in ms.

    If a call is due, a message counts only after half of the time.

    >>> earliest_fulfilment(0, due_at=60_000_000, call=False)
    600000
    """
    if call:
        return at + (due_at - at) // 2
    return at + max(min((due_at - at) // _SAME_TURN_FRACTION, _SAME_TURN_MAX), _SAME_TURN_MIN)


def match_fulfilments(entries: Sequence[RecordEntry]) -> dict[str, tuple[FollowUpEntry, ...]]:
    """Return the follow-ups by record id, each with the first call or message that fulfils it."""
    speaking = [entry for entry in entries if entry.role in ("human", "talk")]
    calls = [entry for entry in speaking if entry.bits & CALL]
    return {
        entry.record_id: tuple(
            _fulfilled(entry, followup, speaking, calls) for followup in entry.followups
        )
        for entry in entries
        if entry.followups
    }


def _fulfilled(
    entry: RecordEntry,
    followup: FollowUpEntry,
    speaking: Sequence[RecordEntry],
    calls: Sequence[RecordEntry],
) -> FollowUpEntry:
    answers = [
        *_first(speaking, (followup.counts_from, "")),
        *(_first(calls, (entry.at, entry.record_id + "~")) if followup.call else ()),
    ]
    if not answers:
        return followup._replace(fulfilled_at=0, fulfilled_by="")
    answer = min(answers)
    return followup._replace(fulfilled_at=answer.at, fulfilled_by=answer.record_id)


def _first(entries: Sequence[RecordEntry], key: tuple[int, str]) -> Sequence[RecordEntry]:
    position = bisect_left(entries, key)
    return entries[position : position + 1]


def link_threads(threads: Iterable[Thread], entries: Iterable[RecordEntry]) -> dict[int, str]:
    """Return the conversation of each thread whose mails name mails of another thread.

    It is the smallest conversation id of the linked threads: a fold that sees only some of the
    threads finds an id that is linked to it in turn.
    """
    ids = {thread.number: thread.conversation_id for thread in threads}
    parent = {number: number for number in ids}

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    first: dict[int, int] = {}
    for number, names in _names(threads, entries):
        for name in names:
            first_root, own_root = root(first.setdefault(name, number)), root(number)
            if first_root != own_root:
                parent[own_root] = first_root
    groups: dict[int, list[int]] = defaultdict(list)
    for number in ids:
        groups[root(number)].append(number)
    return {
        number: min(ids[member] for member in members)
        for members in groups.values()
        if len(members) > 1
        for number in members
    }


def _names(
    threads: Iterable[Thread], entries: Iterable[RecordEntry]
) -> Iterable[tuple[int, tuple[int, ...]]]:
    yield from ((thread.number, thread.names) for thread in threads if thread.names)
    yield from ((entry.thread, entry.names) for entry in entries if entry.names)
