"""What only neighbours show: repeats, near repeats, outliers, late arrivals, promises kept, threads
that belong together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import cos, log1p, pi
from statistics import median

from pipeline.processors.converse.state import CALL, Entry, Flag, FollowUpEntry, Thread

_MINUTE_MS, _DAY_MS = 60_000, 86_400_000

# A record is compared with at most so many before it: a day of a busy chat, and a bound on what one
# record costs.
LOOK_BACK = 64
# People who get no answer send the same again within the day (chatwoot #9314: within seconds). Ours
# repeat canned sentences to one customer all day; the same one within ten minutes was delivered
# twice.
_REPEAT_MS = {"customer": _DAY_MS, "ours": 10 * _MINUTE_MS}
# Ten of 64 bits: an angle whose cosine is .88. Of two unlike texts one pair in a hundred million is
# as near.
_NEAR_BITS = 10
# Near repeats are about as long.
_NEAR_LENGTH = 0.2
# Below a dozen neighbours there is no usual. 3.5: B. Iglewicz and D. Hoaglin, How to detect and
# handle outliers, 1993. Lengths are compared by their logarithm, for they spread by factors; a
# spread below .35 (a factor of 1.4) is taken as that, lest those who always write the same be
# outliers at the first other word.
_USUAL, _OUTLIER_Z, _LEAST_SPREAD, _MAD = 12, 3.5, 0.35, 1.4826
# Queues and phones without a net bring messages minutes late; what is later confuses people who
# read along.
LATE_MS = 10 * _MINUTE_MS

_SIDES = {
    "ask": "customer",
    "courtesy": "customer",
    "talk": "customer",
    "human": "ours",
    "bot": "ours",
    "auto": "ours",
    "none": "",
}


def flags_of(entries: Sequence[Entry], place: int) -> tuple[Flag, ...]:
    """Return the flags of a record that the `LOOK_BACK` records before it show: duplicate_of or
    near_duplicate, outlier.
    """
    entry = entries[place]
    side = _SIDES[entry.role]
    if not side:
        return ()
    before = [one for one in entries[max(0, place - LOOK_BACK) : place] if _SIDES[one.role] == side]
    repeat = _repeat(entry, before, entry.at - _REPEAT_MS[side]) if entry.text else None
    outlier = _outlier(entry, before)
    return tuple(flag for flag in (repeat, outlier) if flag is not None)


def _repeat(entry: Entry, before: Sequence[Entry], since: int) -> Flag | None:
    nearest: tuple[int, Entry] | None = None
    for one in before:
        if one.at < since:
            continue
        if one.text == entry.text:
            return "duplicate_of", one.record_id, None
        if one.simhash and entry.simhash:
            bits = (one.simhash ^ entry.simhash).bit_count()
            if bits <= _NEAR_BITS and abs(one.size - entry.size) <= _NEAR_LENGTH * entry.size:
                nearest = min(nearest, (bits, one)) if nearest else (bits, one)
    if nearest is None:
        return None
    return "near_duplicate", nearest[1].record_id, round(cos(pi * nearest[0] / 64), 3)


def _outlier(entry: Entry, before: Sequence[Entry]) -> Flag | None:
    call = entry.bits & CALL
    channel = entry.channel
    sizes = sorted(
        one.size
        for one in before
        if one.channel == channel and one.size > 0 and one.bits & CALL == call
    )
    if not entry.size or len(sizes) < _USUAL:
        return None
    own = log1p(entry.size)
    # Nearer to the middle than any outlier can be: most records are, and the middle of sizes costs
    # less than that of logarithms.
    lower, upper = log1p(sizes[(len(sizes) - 1) // 2]), log1p(sizes[len(sizes) // 2])
    if lower - own <= _OUTLIER_Z * _LEAST_SPREAD and own - upper <= _OUTLIER_Z * _LEAST_SPREAD:
        return None
    middle = (lower + upper) / 2
    spread = max(_MAD * median(abs(log1p(size) - middle) for size in sizes), _LEAST_SPREAD)
    score = (own - middle) / spread
    # A short text is an answer like any other; a call far shorter than usual broke off.
    if score > _OUTLIER_Z or (call and score < -_OUTLIER_Z):
        return "outlier", None, round(score, 2)
    return None


def late_ones(entries: Sequence[Entry]) -> dict[str, Flag]:
    """Return the flags of those records of a conversation that came later than one that happened
    after them.
    """
    found: dict[str, Flag] = {}
    earliest, by = _NEVER, ""
    held, held_by, held_at = _NEVER, "", 0
    for entry in reversed(entries):
        if entry.at != held_at:
            earliest, by = min((earliest, by), (held, held_by))
            held, held_by, held_at = _NEVER, "", entry.at
        received = entry.received
        if received < held or (received == held and entry.record_id < held_by):
            held, held_by = received, entry.record_id
        if received - earliest > LATE_MS:
            found[entry.record_id] = ("late", by, (received - earliest) / 1000)
    return found


def any_late(received_at: int, entries: Sequence[Entry]) -> bool:
    """Return whether a record in its turn shows one before it to be late; `received_at`: the last
    arrival before them.
    """
    for entry in entries:
        if entry.received + LATE_MS < received_at:
            return True
        received_at = max(received_at, entry.received)
    return False


# After every instant of the history.
_NEVER = 1 << 62


# Of a promise due tomorrow, "anything else?" a minute later is no fulfilment, nor the answer to the
# customer's thanks: a message counts after a twentieth of the time until it is due, at most ten
# minutes, at least one.
_SAME_TURN_SHARE, _SAME_TURN_MOST, _SAME_TURN_LEAST = 20, 10 * _MINUTE_MS, _MINUTE_MS


def counts_from(at: int, due_at: int, call: bool) -> int:
    """Return from when on a message of ours may fulfil a follow-up; where a call is due, not before
    half of the time is over.
    """
    if call:
        return at + (due_at - at) // 2
    return at + max(min((due_at - at) // _SAME_TURN_SHARE, _SAME_TURN_MOST), _SAME_TURN_LEAST)


def fulfilments(entries: Sequence[Entry]) -> dict[str, tuple[FollowUpEntry, ...]]:
    """Return the follow-ups of each record that has any, with what first fulfilled them: a call
    after it, or a message that counts.
    """
    speaking = [entry for entry in entries if entry.role in ("human", "talk")]
    calls = [entry for entry in speaking if entry.bits & CALL]
    return {
        entry.record_id: tuple(_fulfilled(entry, one, speaking, calls) for one in entry.followups)
        for entry in entries
        if entry.followups
    }


def _fulfilled(
    entry: Entry, one: FollowUpEntry, speaking: Sequence[Entry], calls: Sequence[Entry]
) -> FollowUpEntry:
    answers = [
        *_first(speaking, (one.counts_from, "")),
        *(_first(calls, (entry.at, entry.record_id + "~")) if one.call else ()),
    ]
    if not answers:
        return one._replace(fulfilled_at=0, fulfilled_by="")
    answer = min(answers)
    return one._replace(fulfilled_at=answer.at, fulfilled_by=answer.record_id)


def _first(entries: Sequence[Entry], key: tuple[int, str]) -> Sequence[Entry]:
    place = bisect_left(entries, key)
    return entries[place : place + 1]


def linked(threads: Iterable[Thread], entries: Iterable[Entry]) -> dict[int, str]:
    """Return, by thread, the conversation that it is part of, where mails name one another across
    threads.

    That is the smallest id among those that names join: whoever sees only some of the threads comes
    to an id that leads there too.
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
            one, other = root(first.setdefault(name, number)), root(number)
            if one != other:
                parent[other] = one
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
    threads: Iterable[Thread], entries: Iterable[Entry]
) -> Iterable[tuple[int, tuple[int, ...]]]:
    yield from ((thread.number, thread.names) for thread in threads if thread.names)
    yield from ((entry.thread, entry.names) for entry in entries if entry.names)
