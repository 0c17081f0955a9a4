"""From a record to its entry: what is kept of it to judge its neighbours by."""

from __future__ import annotations

from operator import attrgetter

import orjson

from pipeline.processors.converse.business_hours import from_ms, to_ms
from pipeline.processors.converse.flags import counts_from
from pipeline.processors.converse.followups import Found, promises_in, requests_in
from pipeline.processors.converse.record_view import Seen
from pipeline.processors.converse.roles import Role, assigned_to, closing_of, role_of
from pipeline.processors.converse.service_rules import Rules
from pipeline.processors.converse.similarity import fingerprints, hash63, is_courtesy, words_of
from pipeline.processors.converse.state import ASSIGNS, CALL, CLOSES, Entry, FollowUpEntry
from schemas.types import Channel

# A mail names its thread's root and its nearest ancestors; what lies between them they name
# themselves.
_FIRST_REFERENCES, _LAST_REFERENCES = 2, 8


def content_of(seen: Seen) -> int:
    """Return a hash of all that is read of a record: the same record again has the same."""
    return hash63(orjson.dumps(_FIELDS(seen)))


_FIELDS = attrgetter(*Seen.__slots__)


def entry_of(seen: Seen, content: int, thread: int, rules: Rules) -> Entry:
    """Return what is kept of a record, and the follow-ups that its text speaks of."""
    is_call = seen.disposition is not None
    words = "" if is_call else words_of(seen.text)
    role = role_of(seen, not is_call and is_courtesy(words, bool(seen.text.strip())), rules.bots)
    text, simhash = fingerprints(words) if words else (0, 0)
    bits = (
        (CALL if is_call else 0)
        | (CLOSES if closing_of(seen) else 0)
        | (ASSIGNS if assigned_to(seen) else 0)
    )
    return Entry(
        seen.occurred_ms,
        seen.record_id,
        thread,
        role,
        bits,
        seen.received_ms,
        content,
        text,
        simhash,
        (seen.talk_s or 0) if is_call else len(seen.text),
        seen.channel,
        seen.subject,
        _names(seen),
        () if is_call else tuple(_followups(seen, role, rules)),
    )


def _names(seen: Seen) -> tuple[int, ...]:
    """Return the hashes of the message names by which a record and others of its thread know one
    another.
    """
    if seen.channel == Channel.EMAIL:
        references = seen.references
        if len(references) > _FIRST_REFERENCES + _LAST_REFERENCES:
            references = (*references[:_FIRST_REFERENCES], *references[-_LAST_REFERENCES:])
        names = [seen.message_id, seen.in_reply_to, *references]
    elif seen.in_reply_to:
        # A platform's ids are its own; the answered message is in the thread that this one names
        # unless the root is missing.
        names = [f"{seen.source}\0{name}" for name in (seen.message_id, seen.in_reply_to)]
    else:
        return ()
    return tuple(sorted({hash63(name.encode("utf-8", "surrogatepass")) for name in names if name}))


def _followups(seen: Seen, role: Role, rules: Rules) -> list[FollowUpEntry]:
    said_at = from_ms(seen.occurred_ms)
    if role == "human":
        return [
            _kept(seen, one, True) for one in promises_in(seen.text, said_at, rules.reading_hours)
        ]
    if role == "ask":
        return [
            _kept(seen, one, False) for one in requests_in(seen.text, said_at, rules.reading_hours)
        ]
    return []


def _kept(seen: Seen, one: Found, promised: bool) -> FollowUpEntry:
    due_at, call = to_ms(one.due_at), one.way == "call"
    start = counts_from(seen.occurred_ms, due_at, call)
    staff = seen.staff if promised else ""
    return FollowUpEntry(promised, call, due_at, one.due_stated, start, staff, one.phrase)
