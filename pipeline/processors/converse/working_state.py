"""A contact point's state while a batch is folded into it: a mutable copy, frozen at the end."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import replace

from pipeline.processors.converse.entries import EntryKey, RecordEntry
from pipeline.processors.converse.rows import ContactRef
from pipeline.processors.converse.state import MAX_ENTRIES, MAX_THREADS, ConverseState, Thread
from pipeline.processors.converse.summary import initial_summary

# Message names of summarized mails by which a later mail may still name the thread: more than any
# mail's own list of references.
_MAX_NAMES = 64


class WorkingState:
    """The entries of a contact point in order of time, and its threads by number."""

    def __init__(self, state: ConverseState) -> None:
        self.horizon = state.horizon
        self.entries = list(state.entries)
        self.entries_by_id = {entry.record_id: entry for entry in state.entries}
        self.threads = {thread.number: thread for thread in state.threads}
        self._numbers = {thread.conversation_id: thread.number for thread in state.threads}
        # The highest number in use; None if it has to be looked for.
        self._last_number: int | None = None

    def conversation_id(self, entry: RecordEntry) -> str:
        """Return the id of the conversation that an entry is in."""
        return self.threads[entry.thread].conversation_id

    def thread_number(self, conversation_id: str) -> int:
        """Return the number of a conversation's thread; add the thread if it is new."""
        number = self._numbers.get(conversation_id)
        if number is None:
            if self._last_number is None:
                self._last_number = max(self.threads, default=0)
            self._last_number = number = self._last_number + 1
            self._numbers[conversation_id] = number
            self.threads[number] = Thread(number, conversation_id)
        return number

    def remove_thread(self, thread: Thread) -> None:
        """Remove a thread that has no record left."""
        del self.threads[thread.number]
        del self._numbers[thread.conversation_id]
        if thread.number == self._last_number:
            self._last_number = None

    def insert(self, entry: RecordEntry) -> None:
        """Add an entry at its position in time."""
        if self.entries and entry < self.entries[-1]:
            insort(self.entries, entry)
        else:
            self.entries.append(entry)
        self.entries_by_id[entry.record_id] = entry

    def remove(self, entry: RecordEntry) -> None:
        """Remove an entry."""
        del self.entries[bisect_left(self.entries, entry)]
        del self.entries_by_id[entry.record_id]

    def position(self, key: EntryKey) -> int:
        """Return the position of the first entry that is not before a key."""
        return bisect_left(self.entries, key)

    def replace(self, position: int, entry: RecordEntry) -> None:
        """Put another version of the same record's entry at its position."""
        self.entries[position] = entry
        self.entries_by_id[entry.record_id] = entry

    def freeze(self, contact_ref: ContactRef) -> ConverseState:
        """Return the new state; entries beyond `MAX_ENTRIES` go into their threads' summaries."""
        horizon = self.horizon
        excess = len(self.entries) - MAX_ENTRIES
        if excess > 0:
            horizon = self.entries[excess - 1].key
            self._summarize(self.entries[:excess])
            del self.entries[:excess]
        threads = (
            self._retained_threads() if len(self.threads) > MAX_THREADS else self.threads.values()
        )
        return ConverseState(
            contact_ref.tenant,
            contact_ref.customer_id,
            contact_ref.contact,
            horizon,
            tuple(threads),
            tuple(self.entries),
        )

    def _summarize(self, entries: Sequence[RecordEntry]) -> None:
        """Add entries that are dropped to the older summaries of their threads."""
        for entry in entries:
            thread = self.threads[entry.thread]
            older = thread.older_summary
            summary = replace(older) if older else initial_summary(entry)
            summary.add(entry)
            names = (
                tuple(dict.fromkeys((*thread.names, *entry.names)))[-_MAX_NAMES:]
                if entry.names
                else thread.names
            )
            self.threads[entry.thread] = thread._replace(older_summary=summary, names=names)

    def _retained_threads(self) -> list[Thread]:
        """Return the threads that have entries, and the `MAX_THREADS` latest of the others."""
        retained = {entry.thread for entry in self.entries}
        summarized = [
            (summary.last_at, thread.conversation_id, thread.number)
            for thread in self.threads.values()
            if thread.number not in retained and (summary := thread.older_summary)
        ]
        summarized.sort()
        retained.update(number for _, _, number in summarized[-MAX_THREADS:])
        return [thread for thread in self.threads.values() if thread.number in retained]
