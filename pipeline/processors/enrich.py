"""The stage `enrich`: one pipeline of steps for each kind of event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.envelope import IncomingEvent
from pipeline.models.heads import HEADS, Head
from pipeline.outcomes import Context, Outcome, Pipeline, Step, run_checked
from pipeline.processors.business import BusinessEvents
from pipeline.processors.classify import Classify
from pipeline.processors.clean.clean import CLEAN
from pipeline.processors.draft import Draft
from pipeline.processors.finish import FINISH
from pipeline.processors.identify import Identify, Identity
from pipeline.processors.labels import accept_labels
from pipeline.processors.redact import REDACT
from schemas.business import BusinessData
from schemas.communications import Communication
from schemas.labels import LabelEventData
from schemas.types import Contract


def enrich_step(identity: Identity, heads: Sequence[Head] = HEADS) -> Step[IncomingEvent, Contract]:
    """Return the step that turns every kind of event into records, business events or labels.

    Labels of other heads than `heads` are rejected; these are the heads of the models.
    """
    communications = Pipeline(
        "communications", Draft, (CLEAN, Identify(identity), REDACT, Classify()), FINISH
    )
    return Dispatch(
        {
            Communication: communications,
            BusinessData: BusinessEvents(identity),
            LabelEventData: accept_labels(heads),
        }
    )


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Runs the step for each event's kind; outcomes are in the order of the batch.

    The kind is the class of the event's data or one of its base classes.
    """

    steps: Mapping[type[Contract], Step[IncomingEvent, Contract]]
    name: str = "enrich"

    def __call__(self, batch: Sequence[IncomingEvent], ctx: Context) -> Sequence[Outcome[Contract]]:
        positions: dict[type[Contract], list[int]] = defaultdict(list)
        for position, incoming in enumerate(batch):
            positions[self._kind(incoming.data)].append(position)
        outcomes: dict[int, Outcome[Contract]] = {}
        for kind, of_kind in positions.items():
            results = run_checked(self.steps[kind], [batch[index] for index in of_kind], ctx)
            outcomes.update(zip(of_kind, results, strict=True))
        return [outcomes[position] for position in range(len(batch))]

    def _kind(self, data: Contract) -> type[Contract]:
        for kind in self.steps:
            if isinstance(data, kind):
                return kind
        raise TypeError(f"enrich has no step for {type(data).__name__}; add one to enrich_step")
