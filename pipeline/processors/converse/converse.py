"""The fold `converse`: turns the records of one contact point into its conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.outcomes import Context, Drop, Emit, Outcome, Output
from pipeline.processors.converse import state as states
from pipeline.processors.converse.record_view import RecordView
from pipeline.processors.converse.rows import business_facts
from pipeline.processors.converse.service_rules import ServiceRules
from pipeline.processors.converse.state import ConverseState
from pipeline.processors.converse.state_update import StateUpdate
from schemas.records import BusinessRecord, Record
from schemas.topics import CONVERSATIONS
from schemas.types import Contract

ConverseInput = Record | RecordView | BusinessRecord
"""What the fold reads: records of records.v1, whole or as a view, and of business.v1."""


@dataclass(frozen=True, slots=True)
class Converse:
    """The fold over one contact point's records; docs/adr/0008 says what it guarantees.

    The rows in the warehouse depend on the set of records, not on their order or batches, as long
    as no record comes later than `MAX_ENTRIES` of its followers. A redelivered record changes
    nothing; a corrected record replaces its earlier form.
    """

    rules: ServiceRules
    name: str = "converse"

    def empty(self) -> ConverseState:
        """Return the state of a new contact point."""
        return ConverseState()

    def load(self, raw: bytes) -> ConverseState:
        """Return the state that bytes contain; raises ValueError for bytes of a newer program."""
        return states.load(raw)

    def dump(self, state: ConverseState) -> bytes:
        """Return a state's bytes."""
        return states.dump(state)

    def __call__(
        self, state: ConverseState, batch: Sequence[ConverseInput], ctx: Context
    ) -> tuple[ConverseState, Sequence[Outcome[Contract]]]:
        """Fold a batch of one key; return the new state and an outcome for each record.

        What the batch changes beside its records is emitted with the last record that changed.
        """
        update: StateUpdate | None = None
        outputs: list[list[Contract] | None] = []
        last: list[Contract] | None = None
        for item in batch:
            if isinstance(item, BusinessRecord):
                outputs.append(list(business_facts(item, self.rules)) or None)
                continue
            record = item if isinstance(item, RecordView) else RecordView.from_record(item)
            update = update or StateUpdate(self.rules, state, record)
            changed = update.add(record)
            outputs.append(changed)
            if changed is not None:
                last = changed
        if update is not None and last is not None:
            last.extend(update.finish())
            state = update.state()
        return state, [_outcome(item, rows) for item, rows in zip(batch, outputs, strict=True)]


def _outcome(item: ConverseInput, outputs: list[Contract] | None) -> Outcome[Contract]:
    if outputs is None:
        return Drop("no conversation" if isinstance(item, BusinessRecord) else "unchanged")
    key = item.key if isinstance(item, RecordView) else str(item.customer_id or item.record_id)
    return Emit(tuple(Output(contract, CONVERSATIONS.name, key) for contract in outputs))
