"""Applies a batch to a contact point's state, and builds the rows that follow from it.

First every record of the batch is added; then `finish` works out once, for the whole batch, what
changed beside the records: conversations, links, reopenings, follow-ups and flags.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import orjson

from pipeline.processors.converse import rows
from pipeline.processors.converse.entries import EntryKey, Flag, RecordEntry
from pipeline.processors.converse.entry_builder import build_entry, content_hash
from pipeline.processors.converse.flags import (
    LOOKBACK_RECORDS,
    any_late,
    late_flags,
    link_threads,
    match_fulfilments,
    neighbour_flags,
)
from pipeline.processors.converse.record_view import RecordView
from pipeline.processors.converse.rows import ContactRef
from pipeline.processors.converse.service_rules import ServiceRules
from pipeline.processors.converse.similarity import hash63
from pipeline.processors.converse.state import ConverseState, Thread, summary_values
from pipeline.processors.converse.summary import (
    ConversationSummary,
    initial_summary,
    merge_summaries,
    summarize,
)
from pipeline.processors.converse.working_state import WorkingState
from schemas.types import Contract

# A thread with fewer entries is summarized faster than its full summary is kept.
_MIN_ENTRIES_FOR_FULL_SUMMARY = 3


class StateUpdate:
    """One batch's changes to the state of one contact point."""

    def __init__(self, rules: ServiceRules, state: ConverseState, record: RecordView) -> None:
        self._rules = rules
        self._contact = ContactRef(record.tenant, record.customer_id, record.contact, record.key)
        self._state = WorkingState(state)
        self._touched_threads: set[int] = set()
        self._changed_keys: list[EntryKey] = []
        self._new_ids: set[str] = set()
        # Entries before their correction, and the conversations that they were in, by record id;
        # and the first of them by thread.
        self._replaced: dict[str, RecordEntry] = {}
        self._first_replaced: dict[int, RecordEntry] = {}
        self._replaced_in: dict[str, str] = {}
        # By thread, the new entries that continue it at its end; and the threads that changed in
        # any other way.
        self._appended: dict[int, list[RecordEntry]] = {}
        self._reordered: set[int] = set()
        # By thread, the record ids of its entries; built once for a batch, since it may change as
        # many conversations as it has records.
        self._ids_by_thread: dict[int, list[str]] | None = None
        self._names_changed = False
        self._followups_changed = False

    def add(self, record: RecordView) -> list[Contract] | None:
        """Add a record; return the rows of the record by itself, or None if it is unchanged."""
        content = content_hash(record)
        old = self._state.entries_by_id.get(record.record_id)
        if old is not None and old.content == content:
            return None
        thread = self._state.thread_number(record.conversation_id)
        entry = build_entry(record, content, thread, self._rules)
        outputs: list[Contract] = []
        if old is not None:
            outputs.extend(self._remove(old, entry))
        outputs.extend(rows.record_facts(record, entry, self._rules, self._contact))
        if entry.key <= self._state.horizon:
            outputs.extend(self._followup_rows(entry, record.conversation_id))
            self._drop_empty_thread(entry.thread)
        else:
            self._insert(entry)
        return outputs

    def finish(self) -> list[Contract]:
        """Work out what the batch changes beside its records; return the rows of it."""
        outputs: list[Contract] = []
        if self._names_changed:
            self._link_threads()
        late: dict[str, Flag | None] = {}
        for numbers in self._touched_conversations():
            outputs.extend(self._update_conversation(numbers, late))
        if self._followups_changed:
            outputs.extend(self._update_followups())
        outputs.extend(self._update_flags(late))
        outputs.extend(self._retract_removed())
        return outputs

    def state(self) -> ConverseState:
        """Return the state after the batch."""
        return self._state.freeze(self._contact)

    # --- records

    def _drop_empty_thread(self, number: int) -> None:
        """Remove a thread that exists only because of a record beyond the horizon."""
        thread = self._state.threads[number]
        if (
            thread.older_summary is None
            and not thread.row_hash
            and number not in self._touched_threads
        ):
            self._state.remove_thread(thread)

    def _insert(self, entry: RecordEntry) -> None:
        self._state.insert(entry)
        self._new_ids.add(entry.record_id)
        self._mark_changed(entry)
        number = entry.thread
        full = self._state.threads[number].full_summary
        appended = self._appended.setdefault(number, [])
        last_at = appended[-1].at if appended else full.last_at if full else entry.at
        if entry.at > last_at:
            appended.append(entry)
        else:
            self._reordered.add(number)

    def _remove(self, old: RecordEntry, new: RecordEntry) -> list[Contract]:
        """Remove a corrected record's old entry; return retractions of what the new one lacks."""
        self._state.remove(old)
        self._mark_changed(old)
        self._reordered.add(old.thread)
        # The rows of the record itself must be emitted again: its time or its conversation may have
        # changed.
        conversation_id = self._state.conversation_id(old)
        if old.record_id not in self._replaced:
            self._replaced[old.record_id] = old
            self._first_replaced.setdefault(old.thread, old)
        self._replaced_in.setdefault(old.record_id, conversation_id)
        remaining = set(rows.fact_kinds(new))
        retractions: list[Contract] = [
            rows.retracted_fact(old, conversation_id, kind, ordinal, self._contact)
            for kind, ordinal in rows.fact_kinds(old)
            if (kind, ordinal) not in remaining
        ]
        for ordinal in range(len(new.followups), len(old.followups)):
            followup = old.followups[ordinal]
            retractions.append(
                rows.followup_row(
                    old, ordinal, followup, conversation_id, self._contact, retracted=True
                )
            )
        return retractions

    def _mark_changed(self, entry: RecordEntry) -> None:
        self._touched_threads.add(entry.thread)
        self._changed_keys.append(entry.key)
        self._names_changed |= bool(entry.names)
        self._followups_changed |= bool(entry.followups) or entry.role in ("human", "talk")

    def _followup_rows(self, entry: RecordEntry, conversation_id: str) -> list[Contract]:
        return [
            rows.followup_row(entry, ordinal, followup, conversation_id, self._contact)
            for ordinal, followup in enumerate(entry.followups)
        ]

    # --- conversations

    def _link_threads(self) -> None:
        threads = self._state.threads
        linked = link_threads(threads.values(), self._state.entries)
        changed: set[str] = set()
        for number, thread in list(threads.items()):
            canonical = linked.get(number, "")
            canonical = "" if canonical == thread.conversation_id else canonical
            if canonical != thread.canonical:
                changed |= {thread.group, canonical or thread.conversation_id}
                threads[number] = thread._replace(canonical=canonical)
                self._touched_threads.add(number)
        if changed:
            self._touched_threads |= {
                number for number, thread in threads.items() if thread.group in changed
            }

    def _touched_conversations(self) -> list[set[int]]:
        """Return the thread numbers of each conversation that changed, by conversation id."""
        threads = self._state.threads
        numbers: dict[str, set[int]] = defaultdict(set)
        for number, thread in threads.items():
            numbers[thread.group].add(number)
        groups = {threads[number].group for number in self._touched_threads}
        return [numbers[group] for group in sorted(groups)]

    def _entries_of(self, numbers: set[int]) -> list[RecordEntry]:
        """Return the entries of threads in order of time, once all records are added."""
        if self._ids_by_thread is None:
            self._ids_by_thread = defaultdict(list)
            for entry in self._state.entries:
                self._ids_by_thread[entry.thread].append(entry.record_id)
        by_id = self._state.entries_by_id
        entries = [
            by_id[record_id] for number in numbers for record_id in self._ids_by_thread[number]
        ]
        return entries if len(numbers) == 1 else sorted(entries)

    def _update_conversation(
        self, numbers: set[int], late: dict[str, Flag | None]
    ) -> list[Contract]:
        """Return the rows of a conversation's threads and reopenings; collect its late flags."""
        threads = self._state.threads
        if len(numbers) == 1:
            appended = self._append_to_thread(next(iter(numbers)))
            if appended is not None:
                return appended
        entries = self._entries_of(numbers)
        outputs: list[Contract] = []
        older = merge_summaries(
            summary for number in numbers if (summary := threads[number].older_summary)
        )
        summary, reopening = summarize(older, entries)
        current_late = late_flags(entries)
        for entry in entries:
            record_id, replaced = entry.record_id, entry.record_id in self._replaced
            if entry.flags or record_id in current_late or replaced:
                late[record_id] = current_late.get(record_id)
            if entry.reopens or record_id in reopening or replaced:
                outputs.extend(self._update_reopened(entry, record_id in reopening))
        for number in sorted(numbers):
            thread = threads[number]
            own = summary
            if len(numbers) > 1:
                own, _ = summarize(thread.older_summary, self._entries_of({number}))
            outputs.extend(self._update_thread(thread, own if thread.canonical else summary, own))
        if (
            len(numbers) == 1
            and len(entries) >= _MIN_ENTRIES_FOR_FULL_SUMMARY
            and (number := entries[0].thread) in threads
        ):
            threads[number] = threads[number]._replace(full_summary=summary)
        else:
            for number in numbers & threads.keys():
                threads[number] = threads[number]._replace(full_summary=None)
        return outputs

    def _append_to_thread(self, number: int) -> list[Contract] | None:
        """Return the rows of a thread that only grew at its end; None if it did not.

        They follow from the thread's full summary, without its older records.
        """
        thread, new = self._state.threads[number], self._appended.get(number, [])
        if thread.full_summary is None or number in self._reordered:
            return None
        # A reopening that is emitted here is not emitted again: whether any record came late is
        # checked for all of them before anything is emitted for one.
        if any_late(thread.full_summary.received_at, new):
            return None
        summary = replace(thread.full_summary)
        outputs: list[Contract] = []
        for entry in new:
            reopens = summary.add(entry)
            if reopens or entry.record_id in self._replaced:
                outputs.extend(self._update_reopened(entry, reopens))
        outputs.extend(self._update_thread(thread, summary, summary))
        thread = self._state.threads[number]
        self._state.threads[number] = thread._replace(full_summary=summary)
        return outputs

    def _update_reopened(self, entry: RecordEntry, reopens: bool) -> list[Contract]:
        replaced = self._replaced.get(entry.record_id)
        before = replaced.reopens if replaced else entry.reopens
        if reopens == before and not (replaced and reopens):
            return []
        self._state.replace(self._state.position(entry.key), entry._replace(reopens=reopens))
        conversation_id = self._state.conversation_id(entry)
        return [
            rows.reopened_fact(
                entry, conversation_id, self._rules, self._contact, retracted=not reopens
            )
        ]

    def _update_thread(
        self, thread: Thread, summary: ConversationSummary | None, own: ConversationSummary | None
    ) -> list[Contract]:
        """Return a thread's row and its opening fact if they changed.

        Both are retracted if no record is left. `own` is the summary of this thread alone.
        """
        if summary is None or own is None:
            return self._retract_thread(thread)
        outputs: list[Contract] = []
        row_hash = hash63(orjson.dumps([thread.canonical, summary_values(summary)]))
        if row_hash != thread.row_hash:
            outputs.append(rows.conversation_row(thread, summary, self._rules, self._contact))
        opened_hash = hash63(
            orjson.dumps([own.opened_at, own.opened_record, own.opened_by, own.channel])
        )
        if opened_hash != thread.opened_hash:
            outputs.append(
                rows.opened_fact(thread, own, self._rules, self._contact, retracted=False)
            )
        self._state.threads[thread.number] = thread._replace(
            row_hash=row_hash, opened_hash=opened_hash
        )
        return outputs

    def _retract_thread(self, thread: Thread) -> list[Contract]:
        self._state.remove_thread(thread)
        if not thread.row_hash:
            return []
        # The last record of the thread moved to another thread or changed; its old entry says what
        # the retracted rows were about.
        last = self._first_replaced[thread.number]
        summary = initial_summary(last)
        return [
            rows.conversation_row(thread, summary, self._rules, self._contact, retracted=True),
            rows.opened_fact(thread, summary, self._rules, self._contact, retracted=True),
        ]

    # --- follow-ups and flags

    def _update_followups(self) -> list[Contract]:
        """Return the follow-ups that are new, or that other records fulfil now."""
        outputs: list[Contract] = []
        for record_id, followups in match_fulfilments(self._state.entries).items():
            entry = self._state.entries_by_id[record_id]
            is_new = record_id in self._new_ids
            conversation_id = self._state.conversation_id(entry)
            for ordinal, followup in enumerate(followups):
                if is_new or followup != entry.followups[ordinal]:
                    outputs.append(
                        rows.followup_row(entry, ordinal, followup, conversation_id, self._contact)
                    )
            if followups != entry.followups:
                self._state.replace(
                    self._state.position(entry.key), entry._replace(followups=followups)
                )
        return outputs

    def _update_flags(self, late: dict[str, Flag | None]) -> list[Contract]:
        """Return the flags that appeared, changed or went."""
        outputs: list[Contract] = []
        changed = self._positions_to_check()
        by_id = self._state.entries_by_id
        positions = changed | {self._state.position(by_id[record_id].key) for record_id in late}
        for position in sorted(positions):
            entry = self._state.entries[position]
            entry_late = next((flag for flag in entry.flags if flag[0] == "late"), None)
            entry_late = late.get(entry.record_id, entry_late)
            others = (
                neighbour_flags(self._state.entries, position)
                if position in changed
                else tuple(flag for flag in entry.flags if flag[0] != "late")
            )
            flags = (*others, *((entry_late,) if entry_late else ()))
            replaced = self._replaced.get(entry.record_id)
            before = () if replaced else entry.flags
            if flags == before and not replaced:
                continue
            conversation_id = self._state.conversation_id(entry)
            names = {flag[0] for flag in flags}
            outputs.extend(
                rows.flag_row(entry, flag, conversation_id, self._contact)
                for flag in flags
                if flag not in before
            )
            outputs.extend(
                rows.flag_row(entry, flag, conversation_id, self._contact, retracted=True)
                for flag in (replaced or entry).flags
                if flag[0] not in names
            )
            self._state.replace(position, entry._replace(flags=flags))
        return outputs

    def _positions_to_check(self) -> set[int]:
        """Return the positions of the entries whose flags may have changed.

        These are the changed entries and the `LOOKBACK_RECORDS` after each.
        """
        # Below this position entries before the horizon are missing: flags there stay as they are.
        frozen = LOOKBACK_RECORDS if self._state.horizon[1] else 0
        count = len(self._state.entries)
        positions: set[int] = set()
        for key in self._changed_keys:
            position = self._state.position(key)
            positions.update(
                range(max(position, frozen), min(position + LOOKBACK_RECORDS + 1, count))
            )
        return positions

    def _retract_removed(self) -> list[Contract]:
        """Retract the rows of records whose corrected form lies beyond the horizon."""
        outputs: list[Contract] = []
        for record_id, old in self._replaced.items():
            if record_id in self._state.entries_by_id:
                continue
            conversation_id = self._replaced_in[record_id]
            if old.reopens:
                outputs.append(
                    rows.reopened_fact(
                        old, conversation_id, self._rules, self._contact, retracted=True
                    )
                )
            outputs.extend(
                rows.flag_row(old, flag, conversation_id, self._contact, retracted=True)
                for flag in old.flags
            )
        return outputs
