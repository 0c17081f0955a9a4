"""Labels that people and outcomes give, and the examples the models learn from."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from schemas.envelope import DEFAULT_TENANT
from schemas.records import Delivery
from schemas.types import Contract, Text, UtcTime

# Names of heads and values become column names and metric labels: letters, digits, underscore.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class LabelData(Contract):
    """The right answer of one head about one record (the body of comm.label.given)."""

    record_id: UUID = Field(description="The record it is about.")
    head: Name = Field(description="need, sentiment, urgency, spam, purchase_intent, or a head of your own.")
    value: Name = Field(description="One of the head's labels.")
    by: Text = Field(None, description="Who says so.")
    origin: Literal["person", "outcome", "import"] = Field(
        "person", description="A person, a query over outcomes, or a file."
    )
    weight: float = Field(1.0, gt=0, le=100, description="How much it counts when learnt.")
    note: Text = Field(None, description="Why.")


class Label(Contract):
    """A label as kept: LabelData with where and when it was given."""

    label_id: UUID
    tenant: str = DEFAULT_TENANT
    source: str
    labelled_at: UtcTime
    record_id: UUID
    head: Name
    value: Name
    by: str = ""
    origin: Literal["person", "outcome", "import"] = "person"
    weight: float = 1.0
    note: str = ""
    connector: str = ""
    delivery: Delivery


class Example(Contract):
    """A label joined with its record's redacted text: what every replica of the models folds, in topic order."""

    kind: Literal["example"] = "example"
    label_id: UUID
    record_id: UUID
    head: Name
    value: Name
    source: Literal["person", "outcome", "import"]
    weight: float
    text: str
    language: str = ""
    channel: str = ""
    direction: str = ""
    labelled_at: UtcTime


class Promotion(Contract):
    """Why the examples that follow it came: a labelled file was promoted, for whom its best model spoke. It teaches nothing."""

    kind: Literal["promotion"] = "promotion"
    promotion_id: UUID = Field(description="Hash of the head and of the labels that follow.")
    head: Name = Field(description="The head whose model starts warm from them.")
    model: str = Field(description="The model that was best on the file, as `switchboard evaluate` names it.")
    examples: int = Field(ge=1, description="How many examples follow.")
    macro_f1: float = Field(description="Its macro-F1, 0 to 1, by cross-validation on those examples.")
    promoted_at: UtcTime
