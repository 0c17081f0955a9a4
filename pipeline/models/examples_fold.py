"""The fold over the whole examples topic: examples teach; generations, pins and rollbacks say which
state goes on and which answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from pipeline.models.classifier import Classifier
from pipeline.models.heads import HEADS, Head
from pipeline.models.replica import LearntExample, RecordedLabel, RefusedEvent, Replica

ControlKind = Literal["begun", "complete", "pin", "unpin", "rollback", "promotion"]
# Before the first event; also the offset of a state that has learnt nothing.
NO_OFFSET: Final = -1


class ControlEvent(NamedTuple):
    """An event that is no example. `target`: the offset that a pin or a rollback names, where a
    generation was begun, else -1.
    """

    kind: ControlKind
    offset: int
    generation: int
    target: int = NO_OFFSET


class OffsetRange(NamedTuple):
    """The events after one offset, up to and including another, as far as they are examples."""

    after: int
    last: int


class ReplayPlan(NamedTuple):
    """What has to be folded, in order, to come to a state: a generation, and spans of the topic."""

    generation: int
    ranges: tuple[OffsetRange, ...]


class AppliedControl(NamedTuple):
    """An event that is no example and was obeyed."""

    event: ControlEvent


Replay = Callable[[ReplayPlan], Replica]
"""Makes the replica of a path by reading the topic; I/O belongs to hosts."""

FoldOutcome = LearntExample | RecordedLabel | RefusedEvent | AppliedControl


@dataclass(slots=True)
class ExamplesFold:
    """The fold: feed it every event of the examples topic in offset order; `classifier` is what
    answers.

    `live` is the state that goes on. Between the begin and the end of a generation `building`
    learns beside it, and the copies which the generation is made of are nothing new to `live`; once
    complete it takes `live`'s place, and takes pins out, for what was forgotten must not answer any
    longer.
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
        """Return the fold of a table of heads before the first event."""
        return cls(heads, live=Replica(heads=heads))

    def apply(self, event: Mapping[str, Any], offset: int, replay: Replay) -> FoldOutcome:
        """Fold one event, or say why it changes nothing; never raises for an event's content.

        `past` is asked where a rollback goes back to a state that is gone.
        """
        if offset <= self.position:
            return RefusedEvent("already_folded", f"offset {offset} is not after {self.position}")
        self.position = offset
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
        """Make the pinned state, where a pin came with the last events."""
        if self._pin is None or self.pinned is not None:
            return
        self.pinned = replay(self.replay_plan(self._pin.target))

    def classifier(self) -> Classifier:
        """Return what answers: the pinned state, else the live one; `settle` comes first."""
        return (self.pinned or self.live).classifier()

    @property
    def pin(self) -> str:
        """The version that is pinned, "" where none is."""
        return (
            ""
            if self._pin is None
            else f"{self._pin.generation}/{self._pin.target}/{self.live.recipe}"
        )

    def replay_plan(self, offset: int) -> ReplayPlan:
        """Return what makes the state of the live generation as it stood at an offset: back over
        rollbacks to its begin.
        """
        spans: list[OffsetRange] = []
        last = offset
        for mark in reversed(self.control_events):
            if mark.offset > last:
                continue
            if mark.kind == "rollback":
                spans.append(OffsetRange(mark.offset, last))
                last = mark.target
            elif mark.kind == "complete":
                spans.append(OffsetRange(mark.target, last))
                return ReplayPlan(mark.generation, tuple(reversed(spans)))
        spans.append(OffsetRange(NO_OFFSET, last))
        return ReplayPlan(0, tuple(reversed(spans)))

    def generation_start(self) -> int:
        """Return the first offset at which the live generation answered: versions before it are
        gone.
        """
        complete = [mark.offset for mark in self.control_events if mark.kind == "complete"]
        return complete[-1] if complete else NO_OFFSET

    def _record_control(self, mark: ControlEvent) -> AppliedControl:
        self.control_events.append(mark)
        return AppliedControl(mark)

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
                f"generation {number} was not begun last, so it cannot be {state!r}",
            )
        begun = next(mark.offset for mark in reversed(self.control_events) if mark.kind == "begun")
        self.building.offset = offset
        self.live, self.building, self._pin, self.pinned = self.building, None, None, None
        return self._record_control(ControlEvent("complete", offset, number, begun))

    def _version(self, event: Mapping[str, Any], offset: int, replay: Replay) -> FoldOutcome:
        pins, generation, target = (
            event["kind"] == "pin",
            event.get("generation"),
            event.get("offset"),
        )
        if pins and generation is None:
            self._pin, self.pinned = None, None
            return self._record_control(ControlEvent("unpin", offset, self.live.generation))
        if self.building is not None:
            return RefusedEvent(
                "version_unknown",
                "a generation is being written: pin or go back when it is complete",
            )
        if generation != self.live.generation:
            return RefusedEvent(
                "version_unknown",
                f"generation: {generation!r} is not {self.live.generation}, which holds",
            )
        if not isinstance(target, int) or isinstance(target, bool):
            return RefusedEvent("version_unknown", f"offset: {target!r} is no offset")
        if not self.generation_start() <= target < offset:
            return RefusedEvent(
                "version_unknown",
                f"offset: {target} is not from {self.generation_start()} on and before {offset}",
            )
        if pins:
            self.pinned, self._pin = None, ControlEvent("pin", offset, self.live.generation, target)
            return self._record_control(self._pin)
        self.live = replay(self.replay_plan(target))
        self.live.offset = offset
        return self._record_control(ControlEvent("rollback", offset, self.live.generation, target))
