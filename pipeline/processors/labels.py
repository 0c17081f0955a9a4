"""Labels: the step that accepts one, and the step that joins it with its record's text into an
example.
"""

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
# Somebody decided it, if only by moving a message: it counts as a label given by hand.
_MOVED_WEIGHT: Final = 1.0


def accept_label(incoming: IncomingEvent, heads: Sequence[Head]) -> Outcome[Contract]:
    """Keep a judgement of a declared head and value as a label, a move to spam too; any other is
    refused with what is declared.
    """
    data, event = incoming.data, incoming.event
    said = _said(data, event)
    problem = label_problem(said["head"], said["value"], heads)
    if problem:
        return Reject(RejectCode.UNKNOWN_LABEL, problem)
    label = Label(
        label_id=incoming.record_id,
        tenant=event.tenant,
        source=event.source,
        labelled_at=event.time or incoming.appended_at,
        connector=event.connector,
        delivery=Delivery(locator=event.locator, sha256=incoming.body_sha256),
        **said,
    )
    return emit(label, LABELS.name, str(label.record_id))


def _said(data: Contract, event: Event) -> dict[str, Any]:
    """Return what a judgement says: of which record, which head and value, by whom."""
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
    """Return the step that keeps labels of these heads."""
    return MapStep("accept_label", lambda incoming, _: accept_label(incoming, heads))


def label_problem(head: str, value: str, heads: Sequence[Head] = HEADS) -> str:
    """Return what is wrong with a head and a value (empty: taken back), naming what is declared; ""
    where nothing is.
    """
    labels = {known.name: known.labels for known in heads}
    if head not in labels:
        return f"data.head: {head!r} is none of {', '.join(labels)}"
    if value and value not in labels[head]:
        return f"data.value: {value!r} is no label of {head}; labels are {', '.join(labels[head])}"
    return ""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """What the history knows of a labelled record, as far as a model reads it."""

    text: str
    language: str
    channel: str
    direction: str


@dataclass(frozen=True, slots=True)
class Resolve:
    """The step `resolve`: a label whose record the history holds becomes an example, one taken back
    a retraction.

    A label about nothing is refused.
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
        found = self.texts.get(label.record_id)
        if found is None:
            detail = (
                f"record_id: the history holds no record {label.record_id}; load it, then replay"
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
            text=found.text,
            language=found.language,
            channel=found.channel,
            direction=found.direction,
            labelled_at=label.labelled_at,
        )
        return emit(example, EXAMPLES.name)
