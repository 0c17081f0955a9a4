"""Laws of every step of enrich: order, purity, independence of the batch, valid records."""

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas.generate
from pipeline.envelope import IncomingEvent, decode_event, encode_event, validate_data
from pipeline.identity.contacts import OwnSide
from pipeline.log.port import LogRecord
from pipeline.models.replica import Replica
from pipeline.outcomes import Context, Emit, NoModels, Outcome, Reject, Step, emit, run_checked
from pipeline.processors.classify import Classify
from pipeline.processors.clean.clean import CLEAN
from pipeline.processors.draft import Draft
from pipeline.processors.enrich import enrich_step
from pipeline.processors.identify import Identify, Identity
from pipeline.processors.redact import REDACT
from pipeline.sinks.row_mapping import rows_of
from schemas.communications import Communication
from schemas.envelope import Event
from schemas.records import QUALITY_FLAGS, Record
from schemas.topics import TOPICS
from schemas.types import Contract
from schemas.unchecked import to_json
from tests.support.events import make_events

NOW = datetime(2026, 11, 20, tzinfo=UTC)
IDENTITY = Identity(
    b"a secret for tests only", OwnSide(("shop.example.com", "+8618005550100"), "CN"), "CN"
)


@pytest.fixture(scope="module")
def ctx() -> Context:
    return Context(NOW, Replica().classifier())


@pytest.fixture(scope="module")
def step() -> Step[IncomingEvent, Contract]:
    return enrich_step(IDENTITY)


def incoming(event: dict[str, Any]) -> IncomingEvent:
    parsed = Event.model_validate(event)
    data = validate_data(parsed)
    assert not isinstance(data, Reject), data
    message = encode_event(parsed, data)
    item = decode_event(
        LogRecord(
            message.topic,
            0,
            0,
            int(NOW.timestamp() * 1000),
            message.key,
            message.value,
            message.headers,
        )
    )
    assert not isinstance(item, Reject)
    return item


def examples() -> list[IncomingEvent]:
    folder = Path(schemas.generate.__file__).parent / "examples" / "valid"
    return [incoming(json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))]


EVENTS = [*examples()[:-1], *map(incoming, make_events(60))]


def records(outcomes: Sequence[Outcome[Contract]]) -> list[Contract]:
    return [
        output.value
        for outcome in outcomes
        if isinstance(outcome, Emit)
        for output in outcome.outputs
    ]


def test_every_event_is_emitted_to_a_declared_topic(
    step: Step[IncomingEvent, Contract], ctx: Context
) -> None:
    for item, outcome in zip(EVENTS, run_checked(step, EVENTS, ctx), strict=True):
        assert isinstance(outcome, Emit), (item, outcome)
        for output in outcome.outputs:
            assert type(output.value) in TOPICS[output.outlet].carries
            assert output.key


def test_a_step_is_a_function_of_its_input(
    step: Step[IncomingEvent, Contract], ctx: Context
) -> None:
    assert run_checked(step, EVENTS, ctx) == run_checked(enrich_step(IDENTITY), EVENTS, ctx)


def test_a_step_sets_its_own_part_of_a_draft_and_nothing_else(ctx: Context) -> None:
    steps: dict[str, Step[Draft, Draft]] = {
        "cleaned": CLEAN,
        "identified": Identify(IDENTITY),
        "redacted_text": REDACT,
        "predictions": Classify(),
    }
    drafts = [Draft(event) for event in EVENTS if isinstance(event.data, Communication)]
    assert drafts
    for part, step in steps.items():
        for _ in range(2):
            before = [parts_of(draft) for draft in drafts]
            outcomes = run_checked(step, drafts, ctx)
            assert outcomes == [emit(draft) for draft in drafts]
            for draft, known in zip(drafts, before, strict=True):
                assert parts_of(draft) == known | {part: getattr(draft, part)}
                assert part not in known or known[part] == getattr(draft, part)


def parts_of(draft: Draft) -> dict[str, Any]:
    """Return the parts of a draft that are set."""
    names = [field.name for field in fields(Draft)]
    return {name: getattr(draft, name) for name in names if hasattr(draft, name)}


def test_reading_a_part_before_its_step_has_run_raises() -> None:
    with pytest.raises(AttributeError):
        run_checked(REDACT, [Draft(EVENTS[0])], Context(NOW, NoModels()))


@given(order=st.permutations(range(len(EVENTS))), cut=st.integers(0, len(EVENTS)))
@settings(max_examples=8, deadline=None)
def test_the_outcome_of_an_event_does_not_depend_on_its_batch(order: list[int], cut: int) -> None:
    step, ctx = enrich_step(IDENTITY), Context(NOW, Replica().classifier())
    whole = run_checked(step, EVENTS, ctx)
    shuffled = [EVENTS[place] for place in order]
    parts = [*run_checked(step, shuffled[:cut], ctx), *run_checked(step, shuffled[cut:], ctx)]
    for place, outcome in zip(order, parts, strict=True):
        assert outcome == whole[place]


def test_every_output_is_valid_by_its_own_contract_and_fills_declared_columns(
    step: Step[IncomingEvent, Contract], ctx: Context
) -> None:
    for contract in records(run_checked(step, EVENTS, ctx)):
        assert type(contract).model_validate_json(to_json(contract)) == contract
        assert to_json(contract) == contract.model_dump_json().encode()
        assert rows_of(contract, 1)


def test_no_text_is_lost_and_every_flag_is_declared(
    step: Step[IncomingEvent, Contract], ctx: Context
) -> None:
    found = [
        contract
        for contract in records(run_checked(step, EVENTS, ctx))
        if isinstance(contract, Record)
    ]
    assert found
    for record in found:
        assert set(record.quality_flags) <= QUALITY_FLAGS.keys()
        kept = "".join((record.reply_text + record.quoted_text + record.signature_text).split())
        assert sorted(kept) == sorted("".join(record.body_text.split()))
        assert record.predictions.keys() == {
            "need",
            "sentiment",
            "urgency",
            "spam",
            "purchase_intent",
        }


@given(
    text=st.text(max_size=300),
    name=st.text(max_size=40),
    phone=st.text(max_size=30),
    email=st.text(max_size=40),
    channel=st.sampled_from(["chat", "email", "sms", "social", "form", "other"]),
    direction=st.sampled_from(["inbound", "outbound", "internal", None]),
)
@settings(max_examples=60, deadline=None)
def test_any_text_and_any_contact_become_a_record(
    text: str, name: str, phone: str, email: str, channel: str, direction: str | None
) -> None:
    data = {"channel": channel, "direction": direction, "subject": "s", "text": text}
    event = {"id": "1", "source": "s", "type": "comm.message.received"}
    item = incoming(
        event | {"data": data | {"from": {"name": name, "phone": phone, "email": email}}}
    )
    (outcome,) = run_checked(enrich_step(IDENTITY), [item], Context(NOW, Replica().classifier()))
    assert isinstance(outcome, Emit)
    record = outcome.outputs[0].value
    assert Record.model_validate_json(to_json(record)) == record
    assert to_json(record) == record.model_dump_json().encode()


def enrich_one(step: Step[IncomingEvent, Contract], ctx: Context, **data: Any) -> Record:
    event = {
        "id": "1",
        "source": "s",
        "type": "comm.message.received",
        "time": "2026-11-01T10:00:00Z",
        "data": data,
    }
    record = records(run_checked(step, [incoming(event)], ctx))[0]
    assert isinstance(record, Record)
    return record


def test_a_chinese_price_inquiry_is_classified_without_examples(
    step: Step[IncomingEvent, Contract], ctx: Context
) -> None:
    record = enrich_one(step, ctx, channel="chat", text="我需要了解您的产品价格和交易方式")
    assert record.predictions["need"].label == "price_inquiry"
    assert record.predictions["purchase_intent"].label in ("exploring", "considering")
    assert record.predictions["need"].version.startswith("rules/")


@pytest.mark.parametrize(
    ("sender", "to", "direction", "contact"),
    [
        ("anna@example.org", "service@shop.example.com", "inbound", "email:anna@example.org"),
        ("service@shop.example.com", "anna@example.org", "outbound", "email:anna@example.org"),
        ("a@shop.example.com", "b@shop.example.com", "internal", ""),
        ("no-reply@provider.example", "service@shop.example.com", "inbound", ""),
    ],
)
def test_the_direction_of_a_mail_depends_on_the_own_side(
    step: Step[IncomingEvent, Contract],
    ctx: Context,
    sender: str,
    to: str,
    direction: str,
    contact: str,
) -> None:
    record = enrich_one(
        step,
        ctx,
        channel="email",
        subject="x",
        text="x",
        **{"from": {"email": sender}, "to": [{"email": to}]},
    )
    assert (record.direction, record.contact) == (direction, contact)
    assert (record.customer_id is None) == (contact == "")


def test_the_customer_of_a_form_mail_is_its_reply_to_address(
    step: Step[IncomingEvent, Contract], ctx: Context
) -> None:
    own = {"email": "forms@shop.example.com"}
    record = enrich_one(
        step,
        ctx,
        channel="email",
        text="x",
        **{"from": own, "to": [own], "reply_to": [{"email": "li@example.org", "name": "李"}]},
    )
    assert (record.direction, record.contact, record.contact_name) == (
        "inbound",
        "email:li@example.org",
        "李",
    )


def test_mails_of_one_thread_are_one_conversation_across_mailboxes(
    step: Step[IncomingEvent, Contract], ctx: Context
) -> None:
    first = enrich_one(step, ctx, channel="email", text="x", message_id="root@example.org")
    second = enrich_one(
        step, ctx, channel="email", text="x", message_id="b@x", in_reply_to="root@example.org"
    )
    third = enrich_one(
        step,
        ctx,
        channel="email",
        text="x",
        message_id="c@x",
        references=["root@example.org", "b@x"],
    )
    other = enrich_one(step, ctx, channel="email", text="x", message_id="other@example.org")
    assert (
        first.conversation_id
        == second.conversation_id
        == third.conversation_id
        != other.conversation_id
    )


def test_customer_ids_depend_on_secret_and_tenant() -> None:
    point = "phone:+8613800000001"
    other = Identity(b"another secret of tests", OwnSide())
    assert IDENTITY.customer_id("a", point) != IDENTITY.customer_id("b", point)
    assert IDENTITY.customer_id("a", point) != other.customer_id("a", point)
