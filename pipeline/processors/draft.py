"""The draft of a record: what is known of a communication while the steps of enrich add to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from pipeline.envelope import IncomingEvent
from pipeline.processors.clean.timestamps import EventTimes
from schemas.communications import Communication
from schemas.records import CallFacts, Link, Participant, Prediction
from schemas.types import Direction


@dataclass(eq=False, slots=True)
class Draft:
    """An event and the part that each step added: one field per step, in the order of the steps.

    A step reads the parts before its own, sets its own, and changes nothing else. Reading a part
    before its step has run raises AttributeError.
    """

    incoming: IncomingEvent
    cleaned: Cleaned = field(init=False)
    identified: Identified = field(init=False)
    redacted_text: str = field(init=False)
    predictions: dict[str, Prediction] = field(init=False)


@dataclass(frozen=True, slots=True)
class TextParts:
    """A text and its parts: reply, quoted text and signature together contain all of `body`."""

    body: str = ""
    reply: str = ""
    quoted: str = ""
    signature: str = ""
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The part of the step `clean`: text, times, language, and facts of a call.

    `data` is the event's body; for a mail, it is completed from the mail's own headers.
    """

    data: Communication
    times: EventTimes
    parts: TextParts
    language: str
    call: CallFacts | None
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CustomerRef:
    """The customer of an event: contact points, strongest first, and the name as shown.

    There are no contact points if no customer can be identified. `attributes` have what is in no
    contact point: an extension, and values that identify nobody, as written.
    """

    name: str = ""
    contacts: tuple[str, ...] = ()
    customer_id: UUID | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def contact(self) -> str:
        """The identifying contact point, kind:value, or ""."""
        return self.contacts[0] if self.contacts else ""


@dataclass(frozen=True, slots=True)
class Identified:
    """The part of the step `identify`: direction, customer, participants and links."""

    direction: Direction
    customer: CustomerRef
    participants: tuple[Participant, ...]
    links: tuple[Link, ...]
    flags: tuple[str, ...]
