"""Labels: one step accepts a label, another joins it with its record's text into an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pipeline.envelope import IncomingEvent
from pipeline.models.heads import HEADS, Head
from pipeline.outcomes import Context, MapStep, Outcome, Reject, emit
from schemas.dead_letters import RejectCode
from schemas.envelope import Event, record_id_of
from schemas.labels import Example, Label, LabelData, MovedData, Retraction, RetractionData
from schemas.records import Delivery
from schemas.topics import EXAMPLES, LABELS
from schemas.types import Contract

_SPAM_HEAD: Final = "spam"
_SPAM_BY_FOLDER: Final = {"spam": "spam", "inbox": "ham"}
# Somebody decided it, if only by moving a message: it counts like a label by hand.
_MOVED_WEIGHT: Final = 1.0


def accept_label(incoming: IncomingEvent, heads: Sequence[Head]) -> Outcome[Contract]:
    """Accept a label or a retraction for a declared head and value; reject any other.

    A mail that was moved to or from the spam folder is a label too.
    """
    data, event = incoming.data, incoming.event
    fields = _label_fields(data, event)
    problem = label_problem(fields["head"], fields["value"], heads)
    if problem:
        return Reject(RejectCode.UNKNOWN_LABEL, problem)
    label = Label(
        label_id=incoming.record_id,
        tenant=event.tenant,
        source=event.source,
        labelled_at=event.time or incoming.appended_at,
        connector=event.connector,
        delivery=Delivery(locator=event.locator, sha256=incoming.body_sha256),
        **fields,
    )
    return emit(label, LABELS.name, str(label.record_id))


def _label_fields(data: Contract, event: Event) -> dict[str, Any]:
    """Return the fields of a label: record, head, value, and by whom."""
    if isinstance(data, LabelData):
        return data.model_dump(include={"record_id", "head", "value", "origin", "weight"}) | {
            "by": data.by or "",
            "note": data.note or "",
        }
    if isinstance(data, RetractionData):
        return {
            "record_id": data.record_id,
            "head": data.head,
            "value": "",
            "by": data.by or "",
            "note": data.note or "",
        }
    if isinstance(data, MovedData):
        return {
            "record_id": (
                data.record_id or record_id_of(event.tenant, event.source, data.event_id or "")
            ),
            "head": _SPAM_HEAD,
            "value": _SPAM_BY_FOLDER[data.folder],
            "by": data.by or "",
            "origin": "outcome",
            "weight": _MOVED_WEIGHT,
        }
    raise TypeError(f"accept_label is for judgements, not for {type(data).__name__}")


def accept_labels(heads: Sequence[Head]) -> MapStep[IncomingEvent, Contract]:
    """Return the step that accepts labels for these heads."""
    return MapStep("accept_label", lambda incoming, _: accept_label(incoming, heads))


def label_problem(head: str, value: str, heads: Sequence[Head] = HEADS) -> str:
    """Return why a head or a value is not valid, and what is; "" if both are.

    An empty value is valid: it retracts a label.

    >>> label_problem("need", "")
    ''
    """
    labels = {known.name: known.labels for known in heads}
    if head not in labels:
        return f"data.head: {head!r} is none of {', '.join(labels)}"
    if value and value not in labels[head]:
        return f"data.value: {value!r} is no label of {head}; labels are {', '.join(labels[head])}"
    return ""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """The fields of a labelled record that a model reads."""

    text: str
    language: str
    channel: str
    direction: str


@dataclass(frozen=True, slots=True)
class Resolve:
    """The step `resolve`: joins labels with their records into examples and retractions.

    A label of an unknown record is rejected.
    """

    texts: Mapping[UUID, LabelledText]
    name: str = "resolve"

    def __call__(self, batch: Sequence[Label], ctx: Context) -> Sequence[Outcome[Contract]]:
        return [self._example(label) for label in batch]

    def _example(self, label: Label) -> Outcome[Contract]:
        if not label.value:
            retraction = Retraction(
                label_id=label.label_id,
                tenant=label.tenant,
                record_id=label.record_id,
                head=label.head,
                source=label.origin,
                labelled_at=label.labelled_at,
            )
            return emit(retraction, EXAMPLES.name)
        labelled = self.texts.get(label.record_id)
        if labelled is None:
            detail = (
                f"record_id: the history has no record {label.record_id}; load it, then replay"
                " this dead letter"
            )
            return Reject(RejectCode.UNKNOWN_RECORD, detail)
        example = Example(
            label_id=label.label_id,
            tenant=label.tenant,
            record_id=label.record_id,
            head=label.head,
            value=label.value,
            source=label.origin,
            weight=label.weight,
            text=labelled.text,
            language=labelled.language,
            channel=labelled.channel,
            direction=labelled.direction,
            labelled_at=label.labelled_at,
        )
        return emit(example, EXAMPLES.name)
