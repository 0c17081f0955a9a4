"""The part of `resolve` that reads the examples: learns each, and tells what was answered before.
One partition, so one teller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.log.port import LogRecord, Message
from pipeline.runtime.runner import Clock, StepHandler, outcome_messages, utc_now
from schemas.labels import Label
from schemas.topics import EXAMPLES

if TYPE_CHECKING:
    from pipeline.runtime.model_worker import Learner


@dataclass
class ResolveHandler:
    """Makes examples of labels, and assessments of examples, which come to it again as it has
    written them.

    The examples have one partition: of many workers the one that holds it makes a learner, and no
    other.
    """

    labels: StepHandler[Label]
    make_learner: Callable[[int], Learner]
    topics: tuple[str, ...]
    clock: Clock = utc_now
    learner: Learner | None = None

    @property
    def name(self) -> str:
        """The stage's."""
        return self.labels.name

    @property
    def counts(self) -> Counter[str]:
        """What became of labels and examples."""
        return self.labels.counts

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Return the examples and assessments of a batch; see `Handler.handle`."""
        labels = [record for record in records if record.topic != EXAMPLES.name]
        examples = [record for record in records if record.topic == EXAMPLES.name]
        messages = self.labels.handle(labels) if labels else []
        return [*messages, *self._assessments(examples)] if examples else messages

    def _assessments(self, records: Sequence[LogRecord]) -> list[Message]:
        # The models take seconds to import: workers that hold no examples are back without them.
        from pipeline.processors.assessment import assessed

        if self.learner is None:
            self.learner = self.make_learner(records[0].offset)
        messages: list[Message] = []
        now = self.clock()
        for tested in self.learner.test(records):
            outcome = assessed(
                tested.event, tested.outcome, tested.answer, tested.generation, tested.record.offset
            )
            messages += outcome_messages(self.name, tested.record, outcome, now, self.counts)
        return messages
