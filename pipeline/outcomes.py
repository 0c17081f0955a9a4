"""The words that steps and hosts share: what a step is given, and what may become of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from schemas.dead_letters import RejectCode

In = TypeVar("In")
In_contra = TypeVar("In_contra", contravariant=True)
Out = TypeVar("Out")
Out_co = TypeVar("Out_co", covariant=True)
Via = TypeVar("Via")
State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Output(Generic[Out_co]):
    """One thing a step gives out: to which outlet (a topic's name; "" between two steps of a
    chain), under which key.
    """

    value: Out_co
    outlet: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Emit(Generic[Out_co]):
    """The input became these outputs."""

    outputs: tuple[Output[Out_co], ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """The input is rightly nobody's: nothing comes of it and nothing is lost. `reason` is
    counted.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """The input cannot become anything; it goes to the dead letters with its original bytes."""

    code: RejectCode
    detail: str
    step: str = ""


Outcome = Emit[Out] | Drop | Reject


def emit(value: Out, outlet: str = "", key: str = "") -> Emit[Out]:
    """Return the outcome of one output."""
    return Emit((Output(value, outlet, key),))


class Answer(Protocol):
    """One head's answer about one text; see `schemas.records.Prediction`."""

    @property
    def label(self) -> str: ...
    @property
    def probability(self) -> float: ...
    @property
    def abstained(self) -> bool: ...
    @property
    def version(self) -> str: ...
    @property
    def also(self) -> tuple[str, ...]: ...


class Models(Protocol):
    """The models as they stand: an immutable snapshot that judges texts, of directions inbound,
    outbound, internal.
    """

    def classify(
        self, texts: Sequence[str], directions: Sequence[str]
    ) -> Sequence[Mapping[str, Answer]]: ...


class NoModels:
    """Models for stages that ask none: no head answers."""

    def classify(
        self, texts: Sequence[str], directions: Sequence[str]
    ) -> Sequence[Mapping[str, Answer]]:
        """Return no answer for each text."""
        return [{} for _ in texts]


@dataclass(frozen=True, slots=True)
class Context:
    """What would otherwise make a step impure: now (aware, UTC), and the models as they stand, both
    fixed within a batch.
    """

    now: datetime
    models: Models


class Step(Protocol[In_contra, Out_co]):
    """A stateless step over a micro-batch: outcomes in the same number and order as the batch, no
    I/O, no clock, no commit.

    `name` is its metric label, its dead letters' header and its name in a stack trace.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, batch: Sequence[In_contra], ctx: Context) -> Sequence[Outcome[Out_co]]: ...


class Fold(Protocol[State, In_contra, Out_co]):
    """A stateful step: folds the inputs of one key, in log order, into that key's state; pure, so
    it returns the new state.

    The host keeps states as bytes: `load(dump(state))` equals the state, and an older program's
    bytes stay readable.
    """

    @property
    def name(self) -> str: ...

    def empty(self) -> State: ...

    def load(self, raw: bytes) -> State: ...

    def dump(self, state: State) -> bytes: ...

    def __call__(
        self, state: State, batch: Sequence[In_contra], ctx: Context
    ) -> tuple[State, Sequence[Outcome[Out_co]]]: ...


class StepContractError(AssertionError):
    """A step gave back another number of outcomes than it was given inputs: a record would have
    vanished.
    """


@dataclass(frozen=True, slots=True)
class MapStep(Generic[In, Out]):
    """A step made of a function of one input; most steps are."""

    name: str
    function: Callable[[In, Context], Outcome[Out]]

    def __call__(self, batch: Sequence[In], ctx: Context) -> Sequence[Outcome[Out]]:
        return [self.function(item, ctx) for item in batch]


@dataclass(frozen=True, slots=True)
class Chain(Generic[In, Via, Out]):
    """Two steps as one: every output of the first is an input of the second; a refusal of either is
    the outcome.
    """

    name: str
    first: Step[In, Via]
    second: Step[Via, Out]

    def __call__(self, batch: Sequence[In], ctx: Context) -> Sequence[Outcome[Out]]:
        befores = run_checked(self.first, batch, ctx)
        onward = [
            output.value
            for before in befores
            if isinstance(before, Emit)
            for output in before.outputs
        ]
        afters = iter(run_checked(self.second, onward, ctx))
        return [_joined(before, afters) for before in befores]


def _joined(before: Outcome[Via], afters: Iterator[Outcome[Out]]) -> Outcome[Out]:
    if not isinstance(before, Emit):
        return before
    if len(before.outputs) == 1:
        return next(afters)
    outcomes = [next(afters) for _ in before.outputs]
    refusal = next((outcome for outcome in outcomes if isinstance(outcome, Reject)), None)
    if refusal is not None:
        return refusal
    return Emit(
        tuple(
            output
            for outcome in outcomes
            if isinstance(outcome, Emit)
            for output in outcome.outputs
        )
    )


def run_checked(step: Step[In, Out], batch: Sequence[In], ctx: Context) -> Sequence[Outcome[Out]]:
    """Run a step, name it in its rejections, and raise StepContractError unless every input has its
    outcome.
    """
    outcomes = step(batch, ctx) if batch else []
    if len(outcomes) != len(batch):
        raise StepContractError(
            f"step {step.name} gave {len(outcomes)} outcomes for {len(batch)} inputs"
        )
    return [
        replace(outcome, step=step.name)
        if isinstance(outcome, Reject) and not outcome.step
        else outcome
        for outcome in outcomes
    ]
