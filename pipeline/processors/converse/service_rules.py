"""What an installation tells converse: its hours, its promises of service, its bots; and what
follows of an instant from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from pipeline.processors.converse.business_hours import BusinessHours, usual_hours

# The name that stands for every channel without a promise of its own.
EVERY_CHANNEL = "default"


@dataclass(frozen=True, slots=True)
class ServicePromises:
    """Within how many seconds (business seconds, where hours are set) customers are promised an
    answer, by channel.

    `default` stands for the channels not named; None, or no entry at all, is no promise. `first`:
    from an episode's first message to the first answer of a person; `later`: for every message
    after that.
    """

    first: Mapping[str, float | None] = field(default_factory=dict)
    later: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """All of it; `hours` None: no business hours are set, business time is null and promises run by
    the calendar.
    """

    hours: BusinessHours | None = None
    promises: ServicePromises = field(default_factory=ServicePromises)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    bots: frozenset[str] = frozenset()

    @property
    def reading_hours(self) -> BusinessHours:
        """The hours by which working days and closing times in texts are read."""
        return self.hours or self._usual

    def __post_init__(self) -> None:
        object.__setattr__(self, "_usual", usual_hours(self.zone))

    _usual: BusinessHours = field(init=False, repr=False, compare=False)

    def clock_s(self, at_ms: int) -> float | None:
        """Return the business seconds since 1970 at an instant; None where no hours are set."""
        return None if self.hours is None else self.hours.clock_ms(at_ms) / 1000

    def first_due(self, at_ms: int, channel: str) -> int | None:
        """Return until when a first message of an instant is promised an answer, ms; None: no
        promise.
        """
        return self._due(self.promises.first, at_ms, channel)

    def later_due(self, at_ms: int, channel: str) -> int | None:
        """Return until when a later message of an instant is promised an answer, ms; None: no
        promise.
        """
        return self._due(self.promises.later, at_ms, channel)

    def _due(self, promises: Mapping[str, float | None], at_ms: int, channel: str) -> int | None:
        if not promises:
            return None
        seconds = promises.get(channel, promises.get(EVERY_CHANNEL))
        if seconds is None:
            return None
        wait = round(seconds * 1000)
        return at_ms + wait if self.hours is None else self.hours.due_ms(at_ms, wait)
