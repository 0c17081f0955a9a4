"""The lists of an event that comes with parsed fields are bounded as those of a mail are."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pipeline.envelope import IncomingEvent
from pipeline.mail.mime import ParseLimits
from pipeline.outcomes import Context, NoModels
from pipeline.processors.clean.clean import clean
from pipeline.processors.draft import Draft
from schemas.communications import EmailData
from schemas.envelope import Event
from schemas.types import Attachment, Party

NOW = datetime(2026, 11, 20, tzinfo=UTC)
LIMITS = ParseLimits()


def cleaned(**fields: Any) -> Draft:
    event = Event(
        specversion="1.0", id="1", source="shop", type="comm.email.received", time=NOW, data={}
    )
    data = EmailData(from_=Party(email="ann@example.com"), text="Hello", **fields)
    draft = Draft(IncomingEvent(event, data, UUID(int=1), NOW, ""))
    clean(draft, Context(NOW, NoModels()))
    return draft


def parties(count: int) -> tuple[Party, ...]:
    return tuple(Party(email=f"p{number}@example.com") for number in range(count))


def test_recipients_and_references_beyond_the_limits_are_cut_and_flagged() -> None:
    result = cleaned(
        to=parties(LIMITS.addresses + 1),
        cc=parties(LIMITS.addresses),
        references=tuple(map(str, range(LIMITS.references + 5))),
    ).cleaned
    assert isinstance(result.data, EmailData)
    assert result.data.to == parties(LIMITS.addresses)
    assert result.data.cc == parties(LIMITS.addresses)
    assert len(result.data.references) == LIMITS.references
    assert result.flags.count("header_limited") == 1


def test_attachments_beyond_the_limit_are_left_out_and_flagged() -> None:
    attachments = tuple(Attachment(name=f"{number}.pdf") for number in range(LIMITS.parts + 1))
    result = cleaned(attachments=attachments).cleaned
    assert result.data.attachments == attachments[: LIMITS.parts]
    assert "part_limited" in result.flags


def test_lists_within_the_limits_are_kept_without_a_flag() -> None:
    result = cleaned(to=parties(LIMITS.addresses)).cleaned
    assert isinstance(result.data, EmailData)
    assert len(result.data.to) == LIMITS.addresses
    assert not {"header_limited", "part_limited"} & set(result.flags)
