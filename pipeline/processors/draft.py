"""A record in the making: what one enrich step hands to the next."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from pipeline.envelope import IncomingEvent
from pipeline.processors.clean.timestamps import EventTimes
from schemas.communications import Communication
from schemas.records import CallFacts, Link, Participant, Prediction
from schemas.types import Direction


@dataclass(frozen=True, slots=True)
class TextParts:
    """A text and its parts: nothing of `body` is missing from the three others taken together."""

    body: str = ""
    reply: str = ""
    quoted: str = ""
    signature: str = ""
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What cleaning made of an event: its text and its times, before anybody is identified.

    `data` is the event's body with what a mail's own headers say filled in.
    """

    incoming: IncomingEvent
    data: Communication
    times: EventTimes
    parts: TextParts
    language: str
    call: CallFacts | None
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identified:
    """A cleaned event with its customer, its direction and the links it shows."""

    cleaned: Cleaned
    direction: Direction
    customer: CustomerRef
    participants: tuple[Participant, ...]
    links: tuple[Link, ...]
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CustomerRef:
    """The customer of an event: the contact points, strongest first, and the name shown; none where
    nobody can be told.
    """

    name: str = ""
    contacts: tuple[str, ...] = ()
    customer_id: UUID | None = None

    @property
    def contact(self) -> str:
        """The contact point that identifies, kind:value, or ""."""
        return self.contacts[0] if self.contacts else ""


@dataclass(frozen=True, slots=True)
class Redacted:
    """An identified event with the text that models read."""

    identified: Identified
    text: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A redacted event with every head's answer."""

    redacted: Redacted
    predictions: dict[str, Prediction]
