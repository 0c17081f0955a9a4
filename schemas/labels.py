"""Labels that people and outcomes give, and the log of examples, generations and versions that the
models fold.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from schemas.envelope import DEFAULT_TENANT
from schemas.records import Delivery
from schemas.types import Contract, Text, UtcTime

# Names of heads and values become column names and metric labels: letters, digits, underscore.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
# Of two labels of one record and head the later holds, but what a query guessed never overrules
# what somebody said.
Origin = Literal["person", "outcome", "import"]


class LabelEventData(Contract):
    """Base of the events that say, or take back, what is right about a record."""


class LabelData(LabelEventData):
    """The right answer of one head about one record (the body of comm.label.given)."""

    record_id: UUID = Field(description="The record it is about.")
    head: Name = Field(
        description="need, sentiment, urgency, spam, purchase_intent, or a head of your own."
    )
    value: Name = Field(description="One of the head's labels.")
    by: Text = Field(None, description="Who says so.")
    origin: Origin = Field("person", description="A person, a query over outcomes, or a file.")
    weight: float = Field(1.0, gt=0, le=100, description="How much it counts when learnt.")
    note: Text = Field(None, description="Why.")


class RetractionData(LabelEventData):
    """A label taken back: nothing is known of that head about that record any more (the body of
    comm.label.retracted).
    """

    record_id: UUID = Field(description="The record it was about.")
    head: Name = Field(description="The head whose label is taken back.")
    by: Text = Field(None, description="Who takes it back.")
    note: Text = Field(None, description="Why.")


class MovedData(LabelEventData):
    """A message that somebody moved into the spam folder or out of it (the body of
    comm.message.moved).
    """

    record_id: UUID | None = Field(
        None, description="The message's record; absent: found by event_id."
    )
    event_id: Text = Field(
        None, description="Id of the message's event, of the same source as this one."
    )
    folder: Literal["spam", "inbox"] = Field(
        description="Where it was moved to: spam, or back among the others."
    )
    by: Text = Field(None, description="Who moved it.")

    @model_validator(mode="after")
    def _names_a_message(self) -> MovedData:
        if self.record_id is None and self.event_id is None:
            raise ValueError("needs a record_id, or the event_id of a message of the same source")
        return self


class Label(Contract):
    """A label as kept: LabelData with where and when it was given."""

    label_id: UUID
    tenant: str = DEFAULT_TENANT
    source: str
    labelled_at: UtcTime
    record_id: UUID
    head: Name
    value: Name | Literal[""] = Field(
        description="The right answer; empty: what was said before is taken back."
    )
    by: str = ""
    origin: Origin = "person"
    weight: float = 1.0
    note: str = ""
    connector: str = ""
    delivery: Delivery


class Example(Contract):
    """A label joined with its record's redacted text: what every replica of the models folds, in
    topic order.
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
        False, description="Written again by a new generation; it was an example before."
    )


class Retraction(Contract):
    """A label taken back, among the examples: later folds leave out what it takes back."""

    kind: Literal["retraction"] = "retraction"
    label_id: UUID
    tenant: str = DEFAULT_TENANT
    record_id: UUID
    head: Name
    source: Origin
    labelled_at: UtcTime


class Generation(Contract):
    """The begin or the end of a generation: between them lie the examples of the last one that are
    still to count.
    """

    kind: Literal["generation"] = "generation"
    number: int = Field(ge=1, description="The generations are counted from 0, which has no begin.")
    state: Literal["begun", "complete"]
    forgotten: tuple[UUID, ...] = Field((), description="Records whose examples are not in it.")
    by: str = ""
    reason: str = ""
    at: UtcTime


class Pin(Contract):
    """From here on the models answer as they stood at a version, and go on learning beside; without
    one they answer as they stand.
    """

    kind: Literal["pin"] = "pin"
    generation: int | None = Field(
        None, description="Generation of the version; null: the pin is taken out."
    )
    offset: int | None = Field(None, description="Offset of the version.")
    by: str = ""
    reason: str = ""
    at: UtcTime


class Rollback(Contract):
    """From here on the models go on from a version, as if the examples between had not been."""

    kind: Literal["rollback"] = "rollback"
    generation: int = Field(
        description="Generation of the version; only the one that is in force can be gone back in."
    )
    offset: int = Field(description="Offset of the version.")
    by: str = ""
    reason: str = ""
    at: UtcTime


class Promotion(Contract):
    """Why the examples that follow it came: a labelled file was promoted, for whom its best model
    spoke. It teaches nothing.
    """

    kind: Literal["promotion"] = "promotion"
    promotion_id: UUID = Field(description="Hash of the head and of the labels that follow.")
    head: Name = Field(description="The head whose model starts warm from them.")
    model: str = Field(
        description="The model that was best on the file, as `switchboard evaluate` names it."
    )
    examples: int = Field(ge=1, description="How many examples follow.")
    macro_f1: float = Field(
        description="Its macro-F1, 0 to 1, by cross-validation on those examples."
    )
    promoted_at: UtcTime


class Assessment(Contract):
    """An example tested before it was learnt: what was answered about its text, and what is right
    (test, then train).
    """

    label_id: UUID = Field(description="The label that was tested.")
    tenant: str = DEFAULT_TENANT
    record_id: UUID
    head: Name
    language: str = ""
    channel: str = ""
    direction: str = ""
    value: str = Field(description="The right answer; empty: it was taken back.")
    origin: Origin
    labelled_at: UtcTime
    tested: bool = Field(
        description="The head had seen no label of this record before; only then is it a fair test."
    )
    answer: str = Field("", description="What would have been answered; empty: nothing.")
    p: float = Field(0.0, description="Its probability.")
    abstained: bool = True
    answered_by: Literal["rules", "model", ""] = ""
    model_version: str = Field("", description="Version that answered.")
    model_guess: str = Field(
        "", description="The model's own best guess, also where it does not answer yet."
    )
    rule_guess: str = Field("", description="What the rule said.")
    generation: int
    offset: int = Field(description="Place of the example in its log.")


class Drift(Contract):
    """A head's accuracy has changed: ADWIN found two unlike parts in the row of its tests."""

    drift_id: UUID
    tenant: str = DEFAULT_TENANT
    head: Name
    label_id: UUID = Field(description="The test at which it was noticed.")
    noticed_at: UtcTime = Field(description="When that label was given.")
    tests: int = Field(description="Tests of the head until then.")
    error_before: float = Field(description="Share of wrong answers in the part that was dropped.")
    error_after: float = Field(description="Share of wrong answers in the part that is left.")
    detector: str = ""
