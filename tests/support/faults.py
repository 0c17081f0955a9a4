"""Faults that a host must survive, put between it and its stages; the same for every host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.commands.host_factory import HandlerWrapper
from pipeline.log.port import LogRecord, Message
from pipeline.outcomes import Context, Outcome
from pipeline.runtime.fold_handler import FoldHandler
from pipeline.runtime.runner import Handler, StepHandler
from pipeline.sinks.warehouse import WarehouseBusyError


class Stopped(BaseException):
    """The host ends here, with whatever it has in hand; no `except Exception` may hold it."""


@dataclass
class _Around:
    """A stage with something done before and after each batch."""

    inner: Handler
    before: Callable[[Sequence[LogRecord]], None]
    after: Callable[[Sequence[LogRecord]], None]

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def topics(self) -> tuple[str, ...]:
        return self.inner.topics

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        self.before(records)
        messages = self.inner.handle(records)
        self.after(records)
        return messages


def nothing(_: Sequence[LogRecord]) -> None:
    """Do nothing."""


def around(
    stage: str,
    before: Callable[[Sequence[LogRecord]], None] = nothing,
    after: Callable[[Sequence[LogRecord]], None] = nothing,
) -> HandlerWrapper:
    """Return what does something before and after every batch of a stage."""
    return lambda handler: _Around(handler, before, after) if handler.name == stage else handler


@dataclass
class Countdown:
    """Raises an error at the given calls (from 0), and lets all others pass; counts over restarts
    of the host.
    """

    error: BaseException
    at: frozenset[int]
    calls: int = 0

    def __call__(self, _: Sequence[LogRecord]) -> None:
        self.calls += 1
        if self.calls - 1 in self.at:
            raise self.error


def stops_after(stage: str, *calls: int) -> tuple[HandlerWrapper, Countdown]:
    """Return the fault of a host that ends after a stage has done its work and before that is
    committed.
    """
    countdown = Countdown(Stopped(), frozenset(calls))
    return around(stage, after=countdown), countdown


def busy_before(stage: str, *calls: int) -> tuple[HandlerWrapper, Countdown]:
    """Return the fault of a warehouse that cannot now."""
    countdown = Countdown(WarehouseBusyError("planted: too many parts", 252), frozenset(calls))
    return around(stage, before=countdown), countdown


def busy_after(stage: str, *calls: int) -> tuple[HandlerWrapper, Countdown]:
    """Return the fault of a warehouse that took the rows and failed to say so."""
    countdown = Countdown(WarehouseBusyError("planted: no answer", 209), frozenset(calls))
    return around(stage, after=countdown), countdown


POISON = "毒药 poison"


def poisoned(stage: str) -> HandlerWrapper:
    """Return the fault of a step, or a fold, that raises on whatever holds the word `POISON`."""

    def wrap(handler: Handler) -> Handler:
        if handler.name != stage:
            return handler
        if isinstance(handler, StepHandler):
            prepare = handler.prepare
            return replace(handler, prepare=lambda batch: _Raising(prepare(batch)))
        assert isinstance(handler, FoldHandler)
        return replace(handler, fold=_RaisingFold(handler.fold))

    return wrap


def _refuse(batch: Sequence[Any]) -> None:
    for item in batch:
        if POISON in repr(item):
            raise RuntimeError("planted: this record breaks the step")


@dataclass(frozen=True)
class _Raising:
    inner: Any

    @property
    def name(self) -> str:
        return str(self.inner.name)

    def __call__(self, batch: Sequence[Any], ctx: Context) -> Sequence[Outcome[Any]]:
        _refuse(batch)
        return self.inner(batch, ctx)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _RaisingFold:
    inner: Any

    @property
    def name(self) -> str:
        return str(self.inner.name)

    def empty(self) -> Any:
        return self.inner.empty()

    def load(self, raw: bytes) -> Any:
        return self.inner.load(raw)

    def dump(self, state: Any) -> bytes:
        return bytes(self.inner.dump(state))

    def __call__(self, state: Any, batch: Sequence[Any], ctx: Context) -> Any:
        _refuse(batch)
        return self.inner(state, batch, ctx)
