"""What steps and hosts share: steps, folds, their context and the outcomes of inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from pipeline.cpu_limit import grant, limit_each
from schemas.dead_letters import RejectCode

In = TypeVar("In")
In_contra = TypeVar("In_contra", contravariant=True)
Out = TypeVar("Out")
Out_co = TypeVar("Out_co", covariant=True)
Item = TypeVar("Item")
State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Output(Generic[Out_co]):
    """An output of a step, with its outlet and its key.

    The outlet is the name of a topic, or "" between two steps of a pipeline.
    """

    value: Out_co
    outlet: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Emit(Generic[Out_co]):
    """The input yields these outputs."""

    outputs: tuple[Output[Out_co], ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """The input rightly has no output, and nothing is lost. Drops are counted by `reason`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """The input is invalid and becomes a dead letter with its original bytes."""

    code: RejectCode
    detail: str
    step: str = ""


Outcome = Emit[Out] | Drop | Reject


def emit(value: Out, outlet: str = "", key: str = "") -> Emit[Out]:
    """Return the outcome with a single output.

    >>> emit("text", "records.v1").outputs[0].outlet
    'records.v1'
    """
    return Emit((Output(value, outlet, key),))


class Answer(Protocol):
    """The answer of one head about one text; see `schemas.records.Prediction`."""

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
    """An immutable snapshot of the models, which classifies texts.

    Directions are inbound, outbound and internal.
    """

    def classify(
        self, texts: Sequence[str], directions: Sequence[str]
    ) -> Sequence[Mapping[str, Answer]]: ...


class NoModels:
    """Models for stages that use none: no head answers."""

    def classify(
        self, texts: Sequence[str], directions: Sequence[str]
    ) -> Sequence[Mapping[str, Answer]]:
        """Return an empty mapping for each text."""
        return [{} for _ in texts]


@dataclass(frozen=True, slots=True)
class Context:
    """What steps must not fetch themselves: the time (aware, UTC) and the models.

    Both stay the same within a batch.
    """

    now: datetime
    models: Models


class Step(Protocol[In_contra, Out_co]):
    """A stateless step over a batch: one outcome per input, in order; no I/O and no clock.

    `name` is its metric label, the `step` of its dead letters and its name in a stack trace.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, batch: Sequence[In_contra], ctx: Context) -> Sequence[Outcome[Out_co]]: ...


class Fold(Protocol[State, In_contra, Out_co]):
    """A stateful step: folds the inputs of one key, in log order, and returns the new state.

    The host stores states as bytes: `load(dump(state))` equals the state, and the bytes of older
    versions stay readable.
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
    """A step returned more or fewer outcomes than inputs: a record would be lost."""


@dataclass(frozen=True, slots=True)
class MapStep(Generic[In, Out]):
    """A step that maps a function over the batch; most steps are of this kind."""

    name: str
    function: Callable[[In, Context], Outcome[Out]]

    def __call__(self, batch: Sequence[In], ctx: Context) -> Sequence[Outcome[Out]]:
        return [self.function(item, ctx) for item in limit_each(batch)]


@dataclass(frozen=True, slots=True)
class Pipeline(Generic[In, Item, Out]):
    """Steps in a row that work on one item per input, such as a draft that each step adds to.

    `start` makes the item of an input, each of `steps` emits the item for the next step, and
    `finish` emits the outputs. An item that a step drops or rejects skips the rest.
    """

    name: str
    start: Callable[[In], Item]
    steps: Sequence[Step[Item, Item]]
    finish: Step[Item, Out]

    def __call__(self, batch: Sequence[In], ctx: Context) -> Sequence[Outcome[Out]]:
        items = {position: self.start(value) for position, value in enumerate(batch)}
        outcomes: dict[int, Outcome[Out]] = {}
        for step in self.steps:
            results = run_checked(step, list(items.values()), ctx)
            for position, result in zip(list(items), results, strict=True):
                if isinstance(result, Emit):
                    items[position] = _single(result, step.name)
                else:
                    outcomes[position] = result
                    del items[position]
        finished = run_checked(self.finish, list(items.values()), ctx)
        outcomes.update(zip(items, finished, strict=True))
        return [outcomes[position] for position in range(len(batch))]


def _single(result: Emit[Item], step_name: str) -> Item:
    """Return the only output of a step within a pipeline."""
    if len(result.outputs) != 1:
        raise StepContractError(
            f"step {step_name} emitted {len(result.outputs)} outputs for one item; a step within a"
            " pipeline emits one"
        )
    return result.outputs[0].value


def run_checked(step: Step[In, Out], batch: Sequence[In], ctx: Context) -> Sequence[Outcome[Out]]:
    """Run a step and put its name into its rejections.

    Raises StepContractError if the number of outcomes differs from that of the inputs.
    """
    grant(len(batch))
    outcomes = step(batch, ctx) if batch else []
    if len(outcomes) != len(batch):
        raise StepContractError(
            f"step {step.name} returned {len(outcomes)} outcomes for {len(batch)} inputs"
        )
    return [
        replace(outcome, step=step.name)
        if isinstance(outcome, Reject) and not outcome.step
        else outcome
        for outcome in outcomes
    ]
