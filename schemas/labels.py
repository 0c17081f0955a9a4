"""Label events, and the examples log: examples, generations, pins, rollbacks, test results."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from schemas.envelope import DEFAULT_TENANT
from schemas.records import Delivery
from schemas.types import Contract, Text, UtcTime

# Names of heads and labels become column names and metric labels.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
# Of two labels of one record and head the later one is effective, except that a label derived from
# outcomes never overrides one by a person.
Origin = Literal["person", "outcome", "import"]


class LabelEventData(Contract):
    """Base of the data of label events."""


class LabelData(LabelEventData):
    """The right label of one head for one record (data of comm.label.given)."""

    record_id: UUID = Field(description="The labelled record.")
    head: Name = Field(
        description="need, sentiment, urgency, spam, purchase_intent, or a head of your own."
    )
    value: Name = Field(description="One of the head's labels.")
    by: Text = Field(None, description="Who labelled it.")
    origin: Origin = Field(
        "person", description="person: somebody; outcome: a query over outcomes; import: a file."
    )
    weight: float = Field(1.0, gt=0, le=100, description="Weight in training.")
    note: Text = Field(None, description="Reason of the label.")


class RetractionData(LabelEventData):
    """A retracted label (data of comm.label.retracted).

    Afterwards the record has no label of that head.
    """

    record_id: UUID = Field(description="The labelled record.")
    head: Name = Field(description="The head whose label is retracted.")
    by: Text = Field(None, description="Who retracts it.")
    note: Text = Field(None, description="Reason of the retraction.")


class MovedData(LabelEventData):
    """A message that was moved into the spam folder or out of it (data of comm.message.moved)."""

    record_id: UUID | None = Field(
        None, description="The message's record; default: looked up by event_id."
    )
    event_id: Text = Field(
        None, description="Id of the message's event, which has the same source as this one."
    )
    folder: Literal["spam", "inbox"] = Field(
        description="Target folder: spam, or inbox if it was moved out of spam."
    )
    by: Text = Field(None, description="Who moved it.")

    @model_validator(mode="after")
    def _names_a_message(self) -> MovedData:
        if self.record_id is None and self.event_id is None:
            raise ValueError(
                "record_id is missing; write it, or the event_id of a message of the same source"
            )
        return self


class Label(Contract):
    """A stored label: LabelData with its source and time."""

    label_id: UUID
    tenant: str = DEFAULT_TENANT
    source: str
    labelled_at: UtcTime
    record_id: UUID
    head: Name
    value: Name | Literal[""] = Field(
        description="The label; empty: the earlier label is retracted."
    )
    by: str = ""
    origin: Origin = "person"
    weight: float = 1.0
    note: str = ""
    connector: str = ""
    delivery: Delivery


class Example(Contract):
    """A label joined with its record's redacted text.

    Every replica of the models folds the examples in topic order.
    """

    kind: Literal["example"] = "example"
    label_id: UUID
    tenant: str = DEFAULT_TENANT
    record_id: UUID
    head: Name
    value: Name
    source: Origin
    weight: float
    text: str
    language: str = ""
    channel: str = ""
    direction: str = ""
    labelled_at: UtcTime
    copied: bool = Field(
        False, description="Copied from the previous generation of the examples log."
    )


class Retraction(Contract):
    """A retracted label in the examples log; later folds leave the label out."""

    kind: Literal["retraction"] = "retraction"
    label_id: UUID
    tenant: str = DEFAULT_TENANT
    record_id: UUID
    head: Name
    source: Origin
    labelled_at: UtcTime


class Generation(Contract):
    """The start or the end of a generation of the examples log.

    Between them are the examples that the new generation keeps of the previous one.
    """

    kind: Literal["generation"] = "generation"
    number: int = Field(
        ge=1, description="Number of the generation; generation 0 has no start message."
    )
    state: Literal["begun", "complete"]
    forgotten: tuple[UUID, ...] = Field((), description="Records whose examples were left out.")
    by: str = ""
    reason: str = ""
    at: UtcTime


class Pin(Contract):
    """From here on the models answer as of a fixed version, while they go on learning.

    Without a pin they answer as of the latest version.
    """

    kind: Literal["pin"] = "pin"
    generation: int | None = Field(
        None, description="Generation of the version; null: the pin is removed."
    )
    offset: int | None = Field(None, description="Offset of the version.")
    by: str = ""
    reason: str = ""
    at: UtcTime


class Rollback(Contract):
    """From here on the models continue from an earlier version; examples in between are ignored."""

    kind: Literal["rollback"] = "rollback"
    generation: int = Field(
        description="Generation of the version; it must be the current generation."
    )
    offset: int = Field(description="Offset of the version.")
    by: str = ""
    reason: str = ""
    at: UtcTime


class Promotion(Contract):
    """The reason for the examples that follow: a labelled file was promoted to examples.

    It records the best model on the file and trains nothing itself.
    """

    kind: Literal["promotion"] = "promotion"
    promotion_id: UUID = Field(description="Hash of the head and of the labels that follow.")
    head: Name = Field(description="The head that is trained with them.")
    model: str = Field(
        description="The best model on the file, as named by `switchboard evaluate`."
    )
    examples: int = Field(ge=1, description="Number of examples that follow.")
    macro_f1: float = Field(
        description="Macro-F1 of that model, 0 to 1, by cross-validation on those examples."
    )
    promoted_at: UtcTime


class Assessment(Contract):
    """The prediction for an example before it was learnt, and its label (test, then train)."""

    label_id: UUID = Field(description="The tested label.")
    tenant: str = DEFAULT_TENANT
    record_id: UUID
    head: Name
    language: str = ""
    channel: str = ""
    direction: str = ""
    value: str = Field(description="The right label; empty: it was retracted.")
    origin: Origin
    labelled_at: UtcTime
    tested: bool = Field(
        description="The head had no earlier label of this record; only then the test is fair."
    )
    answer: str = Field("", description="The predicted label; empty: none.")
    p: float = Field(0.0, description="Probability of the predicted label.")
    abstained: bool = True
    answered_by: Literal["rules", "model", ""] = ""
    model_version: str = Field("", description="Version that answered.")
    model_guess: str = Field(
        "", description="The model's most probable label, even while the rules answer."
    )
    rule_guess: str = Field("", description="The rule's label.")
    generation: int
    offset: int = Field(description="Offset of the example in the examples log.")


class Drift(Contract):
    """A head's error rate has changed.

    ADWIN found two different parts in the sequence of its tests.
    """

    drift_id: UUID
    tenant: str = DEFAULT_TENANT
    head: Name
    label_id: UUID = Field(description="The test at which the drift was detected.")
    noticed_at: UtcTime = Field(description="Time of that label.")
    tests: int = Field(description="Number of the head's tests until then.")
    error_before: float = Field(description="Error rate of the older part, which ADWIN dropped.")
    error_after: float = Field(description="Error rate of the newer part.")
    detector: str = ""
