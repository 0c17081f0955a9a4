"""The consumer thread of live: it stops while partitions are being assigned to it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.runtime.faust_driver import _ConsumerThread
from pipeline.runtime.gap_detection import FetchTracker


def _thread(answer: Any) -> _ConsumerThread:
    thread = _ConsumerThread.__new__(_ConsumerThread)
    thread.fetches = FetchTracker()
    thread.thread_loop = asyncio.get_running_loop()
    thread.consumer = SimpleNamespace(threadsafe_partitions_assigned=answer)
    thread._stopped = asyncio.Event()
    return thread


def test_a_thread_that_stops_does_not_wait_for_the_main_thread() -> None:
    async def run() -> None:
        asked = asyncio.Event()

        async def never(*_arguments: object) -> None:
            asked.set()
            await asyncio.Event().wait()

        thread = _thread(never)
        assigned = asyncio.create_task(thread.on_partitions_assigned(set(), 1))
        await asked.wait()
        assert not assigned.done()
        thread._stopped.set()
        await asyncio.wait_for(assigned, 60)

    asyncio.run(run())


def test_partitions_are_assigned_after_the_answer_of_the_main_thread() -> None:
    async def run() -> None:
        calls = []

        async def answer(*arguments: object) -> None:
            await asyncio.sleep(0)
            calls.append(arguments[1:])

        await _thread(answer).on_partitions_assigned({1}, 7)
        assert calls == [({1}, 7)]

        async def fail(*_arguments: object) -> None:
            raise ConnectionError("the coordinator is gone")

        with pytest.raises(ConnectionError):
            await _thread(fail).on_partitions_assigned(set(), 1)

    asyncio.run(run())
