"""Compiling is not counted as work on the record at which it happens."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.models import jit


def test_the_first_call_compiles_while_the_limit_of_cpu_time_is_paused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []

    @contextmanager
    def paused() -> Iterator[None]:
        events.append("paused")
        yield
        events.append("resumed")

    def double(number: float) -> float:
        return number * 2

    monkeypatch.setattr(jit, "paused", paused)
    compiled = jit.compiled(double)
    assert events == []
    assert (compiled(1.5), compiled(2.0)) == (3.0, 4.0)
    assert events == ["paused", "resumed"]
