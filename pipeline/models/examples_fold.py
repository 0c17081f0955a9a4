"""The fold over the examples topic: learn examples, apply generations, pins and rollbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from pipeline.errors import is_caused_by_record
from pipeline.models.classifier import Classifier
from pipeline.models.heads import HEADS, Head
from pipeline.models.replica import (
    LearntExample,
    RecordedLabel,
    RefusedEvent,
    Replica,
    fold_error,
)

ControlKind = Literal["begun", "complete", "pin", "unpin", "rollback", "promotion"]
# The offset before the first event, and of a state that has learnt nothing.
NO_OFFSET: Final = -1


class ControlEvent(NamedTuple):
    """An event that controls the fold: a generation, a pin, a rollback or a promotion.

    `target` is the offset that a pin or a rollback names, or at which a completed generation began;
    else -1.
    """

    kind: ControlKind
    offset: int
    generation: int
    target: int = NO_OFFSET


class OffsetRange(NamedTuple):
    """The examples after the offset `after`, up to and including the offset `last`."""

    after: int
    last: int


class ReplayPlan(NamedTuple):
    """What to fold, in order, to rebuild a state: a generation, and ranges of the topic."""

    generation: int
    ranges: tuple[OffsetRange, ...]


class AppliedControl(NamedTuple):
    """A control event that was applied."""

    event: ControlEvent


Replay = Callable[[ReplayPlan], Replica]
"""Builds the replica of a plan by reading the topic; a host provides it, because it does I/O."""

FoldOutcome = LearntExample | RecordedLabel | RefusedEvent | AppliedControl


@dataclass(slots=True)
class ExamplesFold:
    """The fold: apply every event of the examples topic in offset order; `classifier` answers.

    `live` is the current state. While a generation is being written, `building` learns it beside
    `live`, for which the copied examples are repetitions. The complete generation replaces `live`
    and removes pins, because forgotten examples must not influence answers any longer.
    """

    heads: tuple[Head, ...] = HEADS
    position: int = NO_OFFSET
    live: Replica = field(default_factory=Replica)
    building: Replica | None = None
    pinned: Replica | None = None
    control_events: list[ControlEvent] = field(default_factory=list)
    _pin: ControlEvent | None = None

    @classmethod
    def for_heads(cls, heads: tuple[Head, ...]) -> ExamplesFold:
        """Return the fold of these heads before the first event."""
        return cls(heads, live=Replica(heads=heads))

    def apply(self, event: Mapping[str, Any], offset: int, replay: Replay) -> FoldOutcome:
        """Fold one event, or return why it changes nothing; never raises for an event's content.

        A rollback calls `replay` to rebuild an earlier state.
        """
        if offset <= self.position:
            return RefusedEvent("already_folded", f"offset {offset} is not after {self.position}")
        self.position = offset
        try:
            return self._apply(event, offset, replay)
        except Exception as error:
            if not is_caused_by_record(error):
                raise
            return fold_error(error)

    def _apply(self, event: Mapping[str, Any], offset: int, replay: Replay) -> FoldOutcome:
        kind = event.get("kind")
        if kind == "generation":
            return self._generation(event, offset)
        if kind in ("pin", "rollback"):
            return self._version(event, offset, replay)
        if kind == "promotion":
            return self._record_control(ControlEvent("promotion", offset, self.live.generation))
        if self.building is not None:
            self.building.apply(event, offset)
        return self.live.apply(event, offset)

    def build_pinned(self, replay: Replay) -> None:
        """Build the pinned state if there is a new pin; call it before `classifier`."""
        if self._pin is None or self.pinned is not None:
            return
        self.pinned = replay(self.replay_plan(self._pin.target))

    def classifier(self) -> Classifier:
        """Return the classifier of the pinned state, else of the live one."""
        return (self.pinned or self.live).classifier()

    @property
    def pin(self) -> str:
        """The pinned version, "" if none is pinned."""
        return (
            ""
            if self._pin is None
            else f"{self._pin.generation}/{self._pin.target}/{self.live.recipe}"
        )

    def replay_plan(self, offset: int) -> ReplayPlan:
        """Return the plan that rebuilds the live generation's state at an offset.

        It goes back over rollbacks to the generation's begin.
        """
        ranges: list[OffsetRange] = []
        last = offset
        for event in reversed(self.control_events):
            if event.offset > last:
                continue
            if event.kind == "rollback":
                ranges.append(OffsetRange(event.offset, last))
                last = event.target
            elif event.kind == "complete":
                ranges.append(OffsetRange(event.target, last))
                return ReplayPlan(event.generation, tuple(reversed(ranges)))
        ranges.append(OffsetRange(NO_OFFSET, last))
        return ReplayPlan(0, tuple(reversed(ranges)))

    def generation_start(self) -> int:
        """Return the first offset at which the live generation answered."""
        complete = [event.offset for event in self.control_events if event.kind == "complete"]
        return complete[-1] if complete else NO_OFFSET

    def _record_control(self, event: ControlEvent) -> AppliedControl:
        self.control_events.append(event)
        return AppliedControl(event)

    def _generation(self, event: Mapping[str, Any], offset: int) -> FoldOutcome:
        number, state = event.get("number"), event.get("state")
        if (
            not isinstance(number, int)
            or isinstance(number, bool)
            or number <= self.live.generation
        ):
            return RefusedEvent(
                "version_unknown",
                f"number: {number!r} is not after generation {self.live.generation}",
            )
        if state == "begun":
            self.building = Replica(number, self.heads, offset)
            return self._record_control(ControlEvent("begun", offset, number))
        if state != "complete" or self.building is None or self.building.generation != number:
            return RefusedEvent(
                "version_unknown",
                f"generation {number} is not the last one begun, so its state cannot be {state!r}",
            )
        begun = next(
            event.offset for event in reversed(self.control_events) if event.kind == "begun"
        )
        self.building.offset = offset
        self.live, self.building, self._pin, self.pinned = self.building, None, None, None
        return self._record_control(ControlEvent("complete", offset, number, begun))

    def _version(self, event: Mapping[str, Any], offset: int, replay: Replay) -> FoldOutcome:
        is_pin, generation, target = (
            event["kind"] == "pin",
            event.get("generation"),
            event.get("offset"),
        )
        if is_pin and generation is None:
            self._pin, self.pinned = None, None
            return self._record_control(ControlEvent("unpin", offset, self.live.generation))
        if self.building is not None:
            return RefusedEvent(
                "version_unknown",
                "a generation is being written: pin or roll back after it is complete",
            )
        if generation != self.live.generation:
            return RefusedEvent(
                "version_unknown",
                f"generation: {generation!r} is not the live generation {self.live.generation}",
            )
        if not isinstance(target, int) or isinstance(target, bool):
            return RefusedEvent("version_unknown", f"offset: {target!r} is not an offset")
        if not self.generation_start() <= target < offset:
            return RefusedEvent(
                "version_unknown",
                f"offset: {target} is not in the live generation: it must be at least"
                f" {self.generation_start()} and below {offset}",
            )
        if is_pin:
            self.pinned, self._pin = None, ControlEvent("pin", offset, self.live.generation, target)
            return self._record_control(self._pin)
        self.live = replay(self.replay_plan(target))
        self.live.offset = offset
        return self._record_control(ControlEvent("rollback", offset, self.live.generation, target))
