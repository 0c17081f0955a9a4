"""Every projection has the names, defaults and values of its contract."""

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from pipeline.models.replica import Replica
from pipeline.outcomes import Context, Emit, run_checked
from pipeline.processors.converse.business_hours import to_ms
from pipeline.processors.converse.record_view import CallView, RecordView
from pipeline.processors.enrich import enrich_step
from pipeline.processors.live.observations import (
    AnswerView,
    BusinessToCount,
    ConversationToCount,
    RecordToCount,
)
from pipeline.processors.projection import Projection
from schemas.conversations import Conversation
from schemas.records import BusinessRecord, Record
from schemas.types import Contract
from schemas.unchecked import to_json
from tests.contract.test_step_laws import EVENTS, IDENTITY
from tests.support.conversing import FOLD, ctx

PROJECTIONS: tuple[type[Projection], ...] = (
    RecordView,
    CallView,
    RecordToCount,
    AnswerView,
    BusinessToCount,
    ConversationToCount,
)


def subclasses(cls: type[Projection]) -> Iterator[type[Projection]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def contracts() -> list[Contract]:
    """Return the records and business events of enrich, and the conversations of converse."""
    context = Context(datetime(2026, 11, 20, tzinfo=UTC), Replica().classifier())
    outputs = emitted(run_checked(enrich_step(IDENTITY), EVENTS, context))
    records = [contract for contract in outputs if isinstance(contract, Record | BusinessRecord)]
    conversations: list[Contract] = []
    for record in records:
        if isinstance(record, Record):
            _, outcomes = FOLD(FOLD.empty(), [RecordView.from_record(record)], ctx())
            conversations += emitted(outcomes)
    return [*records, *conversations]


def emitted(outcomes: Any) -> list[Contract]:
    return [
        output.value
        for outcome in outcomes
        if isinstance(outcome, Emit)
        for output in outcome.outputs
    ]


def projected(value: Any, view: Any) -> Any:
    """Return a contract's value in the form in which its projection `view` has it."""
    if isinstance(view, Projection):
        return type(view).model_construct(
            **{
                name: projected(getattr(value, name), getattr(view, name))
                for name in type(view).model_fields
            }
        )
    if isinstance(value, dict):
        return {key: projected(item, view[key]) for key, item in value.items()}
    if isinstance(value, datetime):
        return to_ms(value)
    return str(value) if isinstance(value, UUID | Enum) else value


def test_all_projections_are_tested() -> None:
    assert set(subclasses(Projection)) == set(PROJECTIONS)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_names_and_defaults_are_those_of_the_contract(projection: type[Projection]) -> None:
    fields = projection.contract.model_fields
    for name, field in projection.model_fields.items():
        assert name in fields, f"{projection.contract.__name__} has no field {name}"
        assert (field.is_required(), field.default) == (
            fields[name].is_required(),
            fields[name].default,
        ), name


def test_values_are_those_of_the_contract() -> None:
    compared = set()
    for contract in contracts():
        for projection in PROJECTIONS:
            if type(contract) is projection.contract:
                view = projection.from_json(to_json(contract))
                assert view == projected(contract, view)
                compared.add(projection)
    assert compared == set(PROJECTIONS) - {CallView, AnswerView}
    assert any(isinstance(contract, Conversation) for contract in contracts())


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_json_without_a_required_field_is_rejected(projection: type[Projection]) -> None:
    if any(field.is_required() for field in projection.model_fields.values()):
        with pytest.raises(ValidationError):
            projection.from_json(b"{}")
    with pytest.raises(ValidationError):
        projection.from_json(b"{")
