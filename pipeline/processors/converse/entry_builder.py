"""Builds a record's entry: hashes, role, and the follow-ups in its text."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import orjson

from pipeline.processors.converse.business_hours import from_ms, to_ms
from pipeline.processors.converse.entries import ASSIGNS, CALL, CLOSES, FollowUpEntry, RecordEntry
from pipeline.processors.converse.flags import earliest_fulfilment
from pipeline.processors.converse.followups import FollowUpMatch, promises_in, requests_in
from pipeline.processors.converse.record_view import RecordView
from pipeline.processors.converse.roles import Role, assignee, closing_reason, role_of
from pipeline.processors.converse.service_rules import ServiceRules
from pipeline.processors.converse.similarity import fingerprints, hash63, is_courtesy, words_of
from schemas.types import Channel

# The state has the subject of each kept record and the staff member of each follow-up, to build
# rows from them: real ones have a hundred characters, and with a megabyte in each, the state, which
# is read and written with every record, would have hundreds. What is longer is cut and ends in an
# ellipsis; the record has the whole text.
_MAX_NAME = 1_000
# A mail names its thread's root and its nearest ancestors; those name the mails in between.
_FIRST_REFERENCES, _LAST_REFERENCES = 2, 8


def content_hash(record: RecordView) -> int:
    """Return a hash of a record's fields; a redelivered record has the same hash.

    The hash is part of the state: what is hashed must not change between versions.
    """
    *fields, auto_kind, call = _FIELDS(record)
    call_fields = (call.disposition or "", call.answered_at, call.talk_s) if call else (None,) * 3
    return hash63(orjson.dumps([*fields, auto_kind or "", *call_fields]))


_FIELDS: Callable[[RecordView], tuple[Any, ...]] = attrgetter(*RecordView.model_fields)


def build_entry(record: RecordView, content: int, thread: int, rules: ServiceRules) -> RecordEntry:
    """Return the entry of a record, with the follow-ups that its text promises or requests."""
    call = record.call
    words = "" if call else words_of(record.reply_text)
    role = role_of(
        record, not call and is_courtesy(words, bool(record.reply_text.strip())), rules.bots
    )
    text, simhash = fingerprints(words) if words else (0, 0)
    bits = (
        (CALL if call else 0)
        | (CLOSES if closing_reason(record) else 0)
        | (ASSIGNS if assignee(record) else 0)
    )
    return RecordEntry(
        record.occurred_at,
        record.record_id,
        thread,
        role,
        bits,
        record.received_at,
        content,
        text,
        simhash,
        (call.talk_s or 0) if call else len(record.reply_text),
        record.channel,
        _bounded(record.subject),
        _names(record),
        () if call else tuple(_followups(record, role, rules)),
    )


def _bounded(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"


def _names(record: RecordView) -> tuple[int, ...]:
    """Return hashes of a record's message id and of the message ids that it refers to."""
    if record.channel == Channel.EMAIL:
        references = record.references
        if len(references) > _FIRST_REFERENCES + _LAST_REFERENCES:
            references = (*references[:_FIRST_REFERENCES], *references[-_LAST_REFERENCES:])
        names = [record.message_id, record.in_reply_to, *references]
    elif record.in_reply_to:
        # Message ids of a platform are unique within a source only; the answered message is usually
        # in the thread that the record names, unless the root of the thread is missing.
        names = [f"{record.source}\0{name}" for name in (record.message_id, record.in_reply_to)]
    else:
        return ()
    return tuple(sorted({hash63(name.encode("utf-8", "surrogatepass")) for name in names if name}))


def _followups(record: RecordView, role: Role, rules: ServiceRules) -> list[FollowUpEntry]:
    said_at = from_ms(record.occurred_at)
    if role == "human":
        return [
            _followup_entry(record, match, promised=True)
            for match in promises_in(record.reply_text, said_at, rules.reading_hours)
        ]
    if role == "ask":
        return [
            _followup_entry(record, match, promised=False)
            for match in requests_in(record.reply_text, said_at, rules.reading_hours)
        ]
    return []


def _followup_entry(record: RecordView, match: FollowUpMatch, promised: bool) -> FollowUpEntry:
    due_at, call = to_ms(match.due_at), match.way == "call"
    start = earliest_fulfilment(record.occurred_at, due_at, call)
    staff = _bounded(record.staff) if promised else ""
    return FollowUpEntry(promised, call, due_at, match.due_stated, start, staff, match.phrase)
