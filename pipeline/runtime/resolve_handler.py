"""The handler of `resolve`: labels become examples, and examples are assessed, then learnt.

The examples topic has one partition, so one worker assesses all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipeline.cpu_limit import paused
from pipeline.log.clock import Clock, utc_now
from pipeline.log.port import LogRecord, Message
from pipeline.runtime.record_guard import attempt, error_rejection
from pipeline.runtime.runner import StepHandler, outcome_messages
from schemas.labels import Label
from schemas.topics import EXAMPLES

if TYPE_CHECKING:
    from pipeline.runtime.model_worker import ModelWorker


@dataclass
class ResolveHandler:
    """Turns labels into examples, and examples, which the stage reads back, into assessments.

    Only the worker that owns the partition of the examples creates a `ModelWorker`.
    """

    labels: StepHandler[Label]
    make_worker: Callable[[int], ModelWorker]
    topics: tuple[str, ...]
    clock: Clock = utc_now
    worker: ModelWorker | None = None

    @property
    def name(self) -> str:
        """The name of the stage."""
        return self.labels.name

    @property
    def counts(self) -> Counter[str]:
        """The outcomes of labels and examples."""
        return self.labels.counts

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Return the examples and assessments of a batch; see `Handler.handle`."""
        labels = [record for record in records if record.topic != EXAMPLES.name]
        examples = [record for record in records if record.topic == EXAMPLES.name]
        messages = self.labels.handle(labels) if labels else []
        return [*messages, *self._assessments(examples)] if examples else messages

    def _assessments(self, records: Sequence[LogRecord]) -> list[Message]:
        # The models take seconds to import, and workers that read no examples do not need them.
        from pipeline.processors.assessment import assess

        if self.worker is None:
            # This compiles code and folds the examples before these records.
            with paused():
                self.worker = self.make_worker(records[0].offset)
        messages: list[Message] = []
        now = self.clock()
        for tested in self.worker.test_then_train(records):
            assessed = attempt(
                partial(
                    assess,
                    tested.event,
                    tested.outcome,
                    tested.answer,
                    tested.generation,
                    tested.record.offset,
                )
            )
            outcome = (
                error_rejection(assessed, step="learn")
                if isinstance(assessed, Exception)
                else assessed
            )
            messages += outcome_messages(self.name, tested.record, outcome, now, self.counts)
        return messages
