"""Faults that every host must survive, injected between the host and its stages."""

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
    """Ends the host with its batch in flight; no `except Exception` may catch it."""


@dataclass
class _Hooked:
    """A stage with a hook before and after each batch."""

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


def do_nothing(_: Sequence[LogRecord]) -> None:
    """Do do_nothing."""


def around(
    stage: str,
    before: Callable[[Sequence[LogRecord]], None] = do_nothing,
    after: Callable[[Sequence[LogRecord]], None] = do_nothing,
) -> HandlerWrapper:
    """Return the wrapper that calls hooks before and after every batch of a stage."""
    return lambda handler: _Hooked(handler, before, after) if handler.name == stage else handler


@dataclass
class Countdown:
    """Raises an error at some calls, numbered from 0; counts over restarts of the host."""

    error: BaseException
    at: frozenset[int]
    calls: int = 0

    def __call__(self, _: Sequence[LogRecord]) -> None:
        self.calls += 1
        if self.calls - 1 in self.at:
            raise self.error


def stops_after(stage: str, *calls: int) -> tuple[HandlerWrapper, Countdown]:
    """Return the fault of a host that ends after a stage handled a batch and before the commit."""
    countdown = Countdown(Stopped(), frozenset(calls))
    return around(stage, after=countdown), countdown


def busy_before(stage: str, *calls: int) -> tuple[HandlerWrapper, Countdown]:
    """Return the fault of a warehouse that is busy."""
    countdown = Countdown(WarehouseBusyError("planted: too many parts", 252), frozenset(calls))
    return around(stage, before=countdown), countdown


def busy_after(stage: str, *calls: int) -> tuple[HandlerWrapper, Countdown]:
    """Return the fault of a warehouse that inserted the rows and did not confirm it."""
    countdown = Countdown(WarehouseBusyError("planted: no answer", 209), frozenset(calls))
    return around(stage, after=countdown), countdown


POISON = "毒药 poison"


def poisoned(stage: str) -> HandlerWrapper:
    """Return the fault of a step or fold that raises on inputs with the text `POISON`."""

    def wrap(handler: Handler) -> Handler:
        if handler.name != stage:
            return handler
        if isinstance(handler, StepHandler):
            prepare = handler.prepare
            return replace(handler, prepare=lambda batch: _RaisingStep(prepare(batch)))
        assert isinstance(handler, FoldHandler)
        return replace(handler, fold=_RaisingFold(handler.fold))

    return wrap


def _raise_on_poison(batch: Sequence[Any]) -> None:
    for item in batch:
        if POISON in repr(item):
            raise RuntimeError("planted: this record breaks the step")


@dataclass(frozen=True)
class _RaisingStep:
    inner: Any

    @property
    def name(self) -> str:
        return str(self.inner.name)

    def __call__(self, batch: Sequence[Any], ctx: Context) -> Sequence[Outcome[Any]]:
        _raise_on_poison(batch)
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
        _raise_on_poison(batch)
        return self.inner(state, batch, ctx)
