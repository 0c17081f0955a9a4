"""An installation's settings for converse: business hours, promised response times, bots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from pipeline.processors.converse.business_hours import BusinessHours, default_hours

# The name that stands for all channels without a promise of their own.
EVERY_CHANNEL = "default"


@dataclass(frozen=True, slots=True)
class ServicePromises:
    """Promised response times by channel, in seconds; business seconds if hours are set.

    `default` stands for the channels without an entry; None, or no entry at all, is no promise.
    `first` counts from the first message of an episode to the first answer of a staff member,
    `later` from every message after that.
    """

    first: Mapping[str, float | None] = field(default_factory=dict)
    later: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ServiceRules:
    """The rules that the fold applies.

    Without business hours (`hours` is None) business time is null, and promises count all hours.
    """

    hours: BusinessHours | None = None
    promises: ServicePromises = field(default_factory=ServicePromises)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    bots: frozenset[str] = frozenset()

    @property
    def reading_hours(self) -> BusinessHours:
        """The hours that working days and closing times in texts refer to."""
        return self.hours or self._default_hours

    def __post_init__(self) -> None:
        object.__setattr__(self, "_default_hours", default_hours(self.zone))

    _default_hours: BusinessHours = field(init=False, repr=False, compare=False)

    def clock_s(self, at_ms: int) -> float | None:
        """Return the business seconds since 1970 at an instant; None if no hours are set."""
        return None if self.hours is None else self.hours.clock_ms(at_ms) / 1000

    def first_due(self, at_ms: int, channel: str) -> int | None:
        """Return when the answer to an episode's first message is due, in ms; None: no promise."""
        return self._due(self.promises.first, at_ms, channel)

    def later_due(self, at_ms: int, channel: str) -> int | None:
        """Return when the answer to a later message is due, in ms; None: no promise."""
        return self._due(self.promises.later, at_ms, channel)

    def _due(self, promises: Mapping[str, float | None], at_ms: int, channel: str) -> int | None:
        if not promises:
            return None
        seconds = promises.get(channel, promises.get(EVERY_CHANNEL))
        if seconds is None:
            return None
        wait = round(seconds * 1000)
        return at_ms + wait if self.hours is None else self.hours.due_ms(at_ms, wait)
