"""The fold `converse`: one contact point's records, in whatever order they come, to what they add
up to.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from pipeline.outcomes import Context, Drop, Emit, Outcome, Output
from pipeline.processors.converse import emit
from pipeline.processors.converse import state as states
from pipeline.processors.converse.emit import Whose
from pipeline.processors.converse.entries import content_of, entry_of
from pipeline.processors.converse.flags import (
    LOOK_BACK,
    any_late,
    flags_of,
    fulfilments,
    late_ones,
    linked,
)
from pipeline.processors.converse.record_view import Seen
from pipeline.processors.converse.service_rules import Rules
from pipeline.processors.converse.similarity import hash63
from pipeline.processors.converse.state import (
    KEPT_ENTRIES,
    KEPT_THREADS,
    Entry,
    Flag,
    Key,
    State,
    Thread,
)
from pipeline.processors.converse.summary import Tally, added_up, begun_by, joined
from schemas.records import BusinessRecord, Record
from schemas.topics import CONVERSATIONS
from schemas.types import Contract

Read = Record | Seen | BusinessRecord
"""What the fold reads: records of records.v1, whole or as `Seen`, and of business.v1."""


@dataclass(frozen=True, slots=True)
class Converse:
    """The fold over one contact point's records; see docs/adr/0008 for what it promises.

    The rows that its outputs add up to depend on the set of records, not on their order or batches,
    as long as no record comes later than `KEPT_ENTRIES` of its followers; a record that comes again
    changes nothing, a corrected one takes its own place.
    """

    rules: Rules
    name: str = "converse"

    def empty(self) -> State:
        """Return the state of a contact point that nothing is known of."""
        return State()

    def load(self, raw: bytes) -> State:
        """Return the state that bytes hold; raises ValueError for bytes of a newer program."""
        return states.load(raw)

    def dump(self, state: State) -> bytes:
        """Return a state's bytes."""
        return states.dump(state)

    def __call__(
        self, state: State, batch: Sequence[Read], ctx: Context
    ) -> tuple[State, Sequence[Outcome[Contract]]]:
        """Fold a batch of one key; an outcome for each record, what the batch changes beside its
        records with the last of them.
        """
        work: _Work | None = None
        outputs: list[list[Contract] | None] = []
        last = -1
        for place, item in enumerate(batch):
            if isinstance(item, BusinessRecord):
                outputs.append(list(emit.business_facts(item, self.rules)) or None)
                continue
            seen = item if isinstance(item, Seen) else Seen.from_record(item)
            work = work or _Work(self.rules, state, seen)
            done = work.take(seen)
            outputs.append(done)
            last = place if done is not None else last
        if work is not None and last >= 0:
            changed = outputs[last]
            assert changed is not None
            changed.extend(work.settle())
            state = work.state()
        return state, [_outcome(item, one) for item, one in zip(batch, outputs, strict=True)]


def _outcome(item: Read, outputs: list[Contract] | None) -> Outcome[Contract]:
    if outputs is None:
        return Drop("no conversation" if isinstance(item, BusinessRecord) else "unchanged")
    key = item.key if isinstance(item, Seen) else str(item.customer_id or item.record_id)
    return Emit(tuple(Output(contract, CONVERSATIONS.name, key) for contract in outputs))


class _Work:
    """A state being changed: what was touched is worked out once for the whole batch."""

    def __init__(self, rules: Rules, state: State, seen: Seen) -> None:
        self._rules = rules
        self._before = state
        self._whose = Whose(seen.tenant, seen.customer_id, seen.contact, seen.key)
        self._entries = list(state.entries)
        self._by_id = {entry.record_id: entry for entry in state.entries}
        self._threads = {thread.number: thread for thread in state.threads}
        self._numbers = {thread.conversation_id: thread.number for thread in state.threads}
        self._touched: set[int] = set()
        self._moved: list[Key] = []
        self._replaced: dict[str, Entry] = {}
        self._replaced_in: dict[str, str] = {}
        self._fresh: set[str] = set()
        self._appended: dict[int, list[Entry]] = {}
        self._disturbed: set[int] = set()
        self._names_changed = False
        self._followups_changed = False

    def take(self, seen: Seen) -> list[Contract] | None:
        """Take a record in; return what it tells by itself, None where it was known as it is."""
        content = content_of(seen)
        old = self._by_id.get(seen.record_id)
        if old is not None and old.content == content:
            return None
        entry = entry_of(seen, content, self._thread(seen.conversation_id), self._rules)
        outputs: list[Contract] = []
        if old is not None:
            outputs.extend(self._remove(old, entry))
        outputs.extend(emit.facts_of(seen, entry, self._rules, self._whose))
        if entry.key <= self._before.horizon:
            outputs.extend(self._followups(entry, seen.conversation_id))
            self._drop_empty(entry.thread)
        else:
            self._insert(entry)
        return outputs

    def _thread(self, conversation_id: str) -> int:
        number = self._numbers.get(conversation_id)
        if number is None:
            number = max(self._threads, default=0) + 1
            self._numbers[conversation_id] = number
            self._threads[number] = Thread(number, conversation_id)
        return number

    def _drop_empty(self, number: int) -> None:
        """Forget a thread that only a record beyond the horizon made."""
        thread = self._threads[number]
        if thread.head is None and not thread.told_row and number not in self._touched:
            del self._threads[number]
            del self._numbers[thread.conversation_id]

    def _insert(self, entry: Entry) -> None:
        if self._entries and entry < self._entries[-1]:
            insort(self._entries, entry)
        else:
            self._entries.append(entry)
        self._by_id[entry.record_id] = entry
        self._fresh.add(entry.record_id)
        self._note(entry)
        self._append(entry)

    def _append(self, entry: Entry) -> None:
        """Note whether a record comes in its turn: after all of its thread's."""
        number = entry.thread
        tail, appended = self._threads[number].tail, self._appended.setdefault(number, [])
        last_at = appended[-1].at if appended else tail.last_at if tail else entry.at
        if entry.at > last_at:
            appended.append(entry)
        else:
            self._disturbed.add(number)

    def _remove(self, old: Entry, new: Entry) -> list[Contract]:
        """Take a record's old form out; return the retractions of what it told and its new form
        does not.
        """
        del self._entries[bisect_left(self._entries, old)]
        del self._by_id[old.record_id]
        self._note(old)
        self._disturbed.add(old.thread)
        # What was told of the record itself must be told again, for its time or conversation may be
        # another.
        conversation_id = self._threads[old.thread].conversation_id
        self._replaced.setdefault(old.record_id, old)
        self._replaced_in.setdefault(old.record_id, conversation_id)
        still = set(emit.kinds_of(new))
        gone = [one for one in emit.kinds_of(old) if one not in still]
        retractions: list[Contract] = [
            emit.untold(old, conversation_id, kind, ordinal, self._whose) for kind, ordinal in gone
        ]
        for ordinal in range(len(new.followups), len(old.followups)):
            one = old.followups[ordinal]
            retractions.append(
                emit.followup(old, ordinal, one, conversation_id, self._whose, retracted=True)
            )
        return retractions

    def _note(self, entry: Entry) -> None:
        self._touched.add(entry.thread)
        self._moved.append(entry.key)
        self._names_changed |= bool(entry.names)
        self._followups_changed |= bool(entry.followups) or entry.role in ("human", "talk")

    def _followups(self, entry: Entry, conversation_id: str) -> list[Contract]:
        return [
            emit.followup(entry, ordinal, one, conversation_id, self._whose)
            for ordinal, one in enumerate(entry.followups)
        ]

    def settle(self) -> list[Contract]:
        """Work out what the records taken in change beside themselves; return it."""
        outputs: list[Contract] = []
        if self._names_changed:
            self._link()
        late: dict[str, Flag | None] = {}
        for group in sorted({self._threads[number].group for number in self._touched}):
            outputs.extend(self._settle_group(group, late))
        if self._followups_changed:
            outputs.extend(self._settle_followups())
        outputs.extend(self._settle_flags(late))
        outputs.extend(self._settle_removed())
        return outputs

    def _link(self) -> None:
        now = linked(self._threads.values(), self._entries)
        changed: set[str] = set()
        for number, thread in list(self._threads.items()):
            canonical = now.get(number, "")
            canonical = "" if canonical == thread.conversation_id else canonical
            if canonical != thread.canonical:
                changed |= {thread.group, canonical or thread.conversation_id}
                self._threads[number] = thread._replace(canonical=canonical)
                self._touched.add(number)
        if changed:
            self._touched |= {
                number for number, thread in self._threads.items() if thread.group in changed
            }

    def _settle_group(self, group: str, late: dict[str, Flag | None]) -> list[Contract]:
        """Work out a conversation: its parts' rows, what reopened it, what came late."""
        numbers = {number for number, thread in self._threads.items() if thread.group == group}
        if len(numbers) == 1 and (grown := self._grown(next(iter(numbers)))) is not None:
            return grown
        entries = [entry for entry in self._entries if entry.thread in numbers]
        outputs: list[Contract] = []
        tally, reopening = added_up(
            joined(head for n in numbers if (head := self._threads[n].head)), entries
        )
        lates = late_ones(entries)
        for entry in entries:
            if entry.flags or entry.record_id in lates or entry.record_id in self._replaced:
                late[entry.record_id] = lates.get(entry.record_id)
            if entry.reopens or entry.record_id in reopening or entry.record_id in self._replaced:
                outputs.extend(self._settle_reopened(entry, entry.record_id in reopening))
        for number in sorted(numbers):
            thread = self._threads[number]
            own = tally
            if len(numbers) > 1:
                own, _ = added_up(
                    thread.head, [entry for entry in entries if entry.thread == number]
                )
            outputs.extend(self._settle_thread(thread, own if thread.canonical else tally, own))
        if (
            len(numbers) == 1
            and len(entries) >= _LEAST_FOR_TAIL
            and (number := entries[0].thread) in self._threads
        ):
            self._threads[number] = self._threads[number]._replace(tail=tally)
        else:
            for number in numbers & self._threads.keys():
                self._threads[number] = self._threads[number]._replace(tail=None)
        return outputs

    def _grown(self, number: int) -> list[Contract] | None:
        """Work out a conversation that only grew at its end, from what it added up to; None where
        it must be added up anew.
        """
        thread, new = self._threads[number], self._appended.get(number, [])
        if thread.tail is None or number in self._disturbed:
            return None
        # Told here, a reopening is not told again: whether one came late is asked of all before
        # anything is told of any.
        if any_late(thread.tail.received_at, new):
            return None
        tally = replace(thread.tail)
        outputs: list[Contract] = []
        for entry in new:
            reopens = tally.take(entry)
            if reopens or entry.record_id in self._replaced:
                outputs.extend(self._settle_reopened(entry, reopens))
        outputs.extend(self._settle_thread(thread, tally, tally))
        self._threads[number] = self._threads[number]._replace(tail=tally)
        return outputs

    def _settle_reopened(self, entry: Entry, reopens: bool) -> list[Contract]:
        replaced = self._replaced.get(entry.record_id)
        before = replaced.reopens if replaced else entry.reopens
        if reopens == before and not (replaced and reopens):
            return []
        self._swap(entry, entry._replace(reopens=reopens))
        conversation_id = self._threads[entry.thread].conversation_id
        return [
            emit.reopened(entry, conversation_id, self._rules, self._whose, retracted=not reopens)
        ]

    def _settle_thread(
        self, thread: Thread, tally: Tally | None, own: Tally | None
    ) -> list[Contract]:
        """Tell a thread's row and its opening where they differ from what was told; retract both
        where no record is left.
        """
        if tally is None or own is None:
            return self._untell_thread(thread)
        outputs: list[Contract] = []
        print_ = hash63(orjson.dumps([thread.canonical, states.plain(tally)]))
        if print_ != thread.told_row:
            outputs.append(emit.conversation(thread, tally, self._rules, self._whose))
        opening = hash63(
            orjson.dumps([own.opened_at, own.opened_record, own.opened_by, own.channel])
        )
        if opening != thread.told_opened:
            outputs.append(emit.opened(thread, own, self._rules, self._whose, retracted=False))
        self._threads[thread.number] = thread._replace(told_row=print_, told_opened=opening)
        return outputs

    def _untell_thread(self, thread: Thread) -> list[Contract]:
        del self._threads[thread.number]
        del self._numbers[thread.conversation_id]
        if not thread.told_row:
            return []
        # The last record of the thread moved elsewhere or changed; its old form tells what the
        # retracted rows were about.
        last = next(old for old in self._replaced.values() if old.thread == thread.number)
        tally = begun_by(last)
        return [
            emit.conversation(thread, tally, self._rules, self._whose, retracted=True),
            emit.opened(thread, tally, self._rules, self._whose, retracted=True),
        ]

    def _settle_followups(self) -> list[Contract]:
        outputs: list[Contract] = []
        for record_id, followups in fulfilments(self._entries).items():
            entry = self._by_id[record_id]
            new = record_id in self._fresh
            conversation_id = self._threads[entry.thread].conversation_id
            for ordinal, one in enumerate(followups):
                if new or one != entry.followups[ordinal]:
                    outputs.append(emit.followup(entry, ordinal, one, conversation_id, self._whose))
            if followups != entry.followups:
                self._swap(entry, entry._replace(followups=followups))
        return outputs

    def _settle_flags(self, late: dict[str, Flag | None]) -> list[Contract]:
        """Tell the flags that appeared, changed or went, of the records whose neighbours
        changed.
        """
        outputs: list[Contract] = []
        dirty = self._dirty()
        places = dirty | {self._place(record_id) for record_id in late}
        for place in sorted(places):
            entry = self._entries[place]
            entry_late = next((one for one in entry.flags if one[0] == "late"), None)
            entry_late = late.get(entry.record_id, entry_late)
            others = (
                flags_of(self._entries, place)
                if place in dirty
                else tuple(f for f in entry.flags if f[0] != "late")
            )
            flags = (*others, *((entry_late,) if entry_late else ()))
            replaced = self._replaced.get(entry.record_id)
            before = () if replaced else entry.flags
            if flags == before and not replaced:
                continue
            conversation_id = self._threads[entry.thread].conversation_id
            names = {one[0] for one in flags}
            outputs.extend(
                emit.flag(entry, one, conversation_id, self._whose)
                for one in flags
                if one not in before
            )
            outputs.extend(
                emit.flag(entry, one, conversation_id, self._whose, retracted=True)
                for one in (replaced or entry).flags
                if one[0] not in names
            )
            self._swap_at(place, entry._replace(flags=flags))
        return outputs

    def _dirty(self) -> set[int]:
        """Return the places whose flags may have changed: those moved and the `LOOK_BACK` after
        each.
        """
        # Below this place records before the horizon are missing: what was told there stays.
        frozen = LOOK_BACK if self._before.horizon[1] else 0
        dirty: set[int] = set()
        for key in self._moved:
            place = bisect_left(self._entries, key)
            dirty.update(range(max(place, frozen), min(place + LOOK_BACK + 1, len(self._entries))))
        return dirty

    def _settle_removed(self) -> list[Contract]:
        """Retract what was told of records whose new form lies beyond the horizon."""
        outputs: list[Contract] = []
        for record_id, old in self._replaced.items():
            if record_id in self._by_id:
                continue
            conversation_id = self._replaced_in[record_id]
            if old.reopens:
                outputs.append(
                    emit.reopened(old, conversation_id, self._rules, self._whose, retracted=True)
                )
            outputs.extend(
                emit.flag(old, one, conversation_id, self._whose, retracted=True)
                for one in old.flags
            )
        return outputs

    def _place(self, record_id: str) -> int:
        return bisect_left(self._entries, self._by_id[record_id].key)

    def _swap(self, old: Entry, new: Entry) -> None:
        self._swap_at(bisect_left(self._entries, old.key), new)

    def _swap_at(self, place: int, new: Entry) -> None:
        self._entries[place] = new
        self._by_id[new.record_id] = new

    def state(self) -> State:
        """Return the new state, its oldest records summed up where there are more than are kept."""
        horizon = self._before.horizon
        over = len(self._entries) - KEPT_ENTRIES
        if over > 0:
            horizon = self._entries[over - 1].key
            self._sum_up(self._entries[:over])
            del self._entries[:over]
        whose = self._whose
        threads = (
            self._kept_threads() if len(self._threads) > KEPT_THREADS else self._threads.values()
        )
        return State(
            whose.tenant,
            whose.customer_id,
            whose.contact,
            horizon,
            tuple(threads),
            tuple(self._entries),
        )

    def _sum_up(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            thread = self._threads[entry.thread]
            head = replace(thread.head) if thread.head else begun_by(entry)
            head.take(entry)
            names = (
                tuple(dict.fromkeys((*thread.names, *entry.names)))[-_KEPT_NAMES:]
                if entry.names
                else thread.names
            )
            self._threads[entry.thread] = thread._replace(head=head, names=names)

    def _kept_threads(self) -> list[Thread]:
        """Return the threads with kept records, and of the others the last ones."""
        living = {entry.thread for entry in self._entries}
        still = [
            thread
            for thread in self._threads.values()
            if thread.number not in living and thread.head
        ]
        still.sort(
            key=lambda thread: (thread.head.last_at if thread.head else 0, thread.conversation_id)
        )
        living.update(thread.number for thread in still[-KEPT_THREADS:])
        return [thread for thread in self._threads.values() if thread.number in living]


# A thread of fewer kept records is added up faster than its sum is kept.
_LEAST_FOR_TAIL = 3
# Message names of summed-up mails by which a later mail may still name the thread: more than any
# mail's own list of references.
_KEPT_NAMES = 64
