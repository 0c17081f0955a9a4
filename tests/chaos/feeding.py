"""What flows: files of events of all channels with planted poison, ingested one after the other.

The command itself ingests them.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path

from tests.chaos.worker import FATAL_TEXT
from tests.support.events import make_events
from tests.support.installations import as_lines
from tests.support.stack import die_with_parent

# How many broken lines, unknown types and broken contracts are planted in all.
POISON = 30
# A command that ingests one file runs for about this long.
_LIFE_S = 1.0
_POLL_S = 0.02


def write_chunks(folder: Path, events: int, chunk: int, seed: int) -> list[Path]:
    """Write events as files of `chunk` lines with poison spread over them; return the paths."""
    folder.mkdir(parents=True)
    made = make_events(events, seed=seed)
    paths: list[Path] = []
    every = max(events // POISON, 1)
    planted = 0
    while batch := list(islice(made, chunk)):
        lines = as_lines(batch).splitlines(keepends=True)
        for position in range(0, len(lines), every):
            if planted < POISON:
                lines.insert(position, _poison(planted, batch[position % len(batch)]))
                planted += 1
        paths.append(folder / f"events-{len(paths):04}.jsonl")
        paths[-1].write_text("".join(lines), "utf-8")
    return paths


def _poison(number: int, event: dict[str, object]) -> str:
    broken = event | {"id": f"poison-{number}"}
    if number % 3 == 0:
        return f'{{"id": "poison-{number}", broken\n'
    if number % 3 == 1:
        return as_lines([broken | {"type": "comm.fax.received"}])
    return as_lines([broken | {"time": "yesterday"}])


def write_fatal_event(folder: Path, event: dict[str, object]) -> Path:
    """Write the event that ends every process that handles it."""
    path = folder / "fatal.jsonl"
    data = {
        "channel": "chat",
        "from": {"id": "fatal"},
        "text": f"hello, this {FATAL_TEXT.decode()}",
    }
    path.write_text(
        json.dumps(event | {"id": "fatal", "type": "comm.message.received", "data": data}) + "\n",
        "utf-8",
    )
    return path


class Feeder:
    """Ingests the files by `switchboard ingest`, paced, and no more of them than are allowed.

    A command that dies is run again and resumes where it was.
    """

    def __init__(
        self, paths: list[Path], environment: dict[str, str], seconds: float, log: Path
    ) -> None:
        # Paced: one command a file. Otherwise one command for all, as fast as it reads.
        self._parts = [[path] for path in paths] if seconds else [paths]
        self._environment = environment
        self._pace = seconds / len(self._parts)
        self._log = open(log, "ab")  # noqa: SIM115  # for as long as the thread
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths = 0
        self.problem = ""
        self._allowance = threading.Condition()
        self._allowed = len(self._parts)
        self._waiting = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        began = time.monotonic()
        for number, part in enumerate(self._parts):
            # This paces the flow; it does not wait for something.
            time.sleep(max(began + number * self._pace - time.monotonic(), 0))
            self._wait_until_allowed(number)
            while (code := self._ingest(part)) < 0:
                self.deaths += 1
            if code != 0:
                self.problem = f"ingesting {part[0]} … ended with {code}"
                return

    def _wait_until_allowed(self, number: int) -> None:
        with self._allowance:
            self._waiting = True
            self._allowance.wait_for(lambda: number < self._allowed)
            self._waiting = False

    def allow(self, share: float) -> None:
        """Ingest files up to a share of all, and no more until more is allowed."""
        with self._allowance:
            self._allowed = math.ceil(share * len(self._parts))
            self._allowance.notify()

    def allow_next(self) -> None:
        """Ingest one more file if the allowed ones are ingested."""
        with self._allowance:
            self._allowed += self._waiting
            self._allowance.notify()

    def _ingest(self, part: list[Path]) -> int:
        command = [sys.executable, "-m", "pipeline", "ingest", "events", *map(str, part)]
        self.process = subprocess.Popen(
            command,
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
            preexec_fn=die_with_parent,  # noqa: PLW1509  # it calls prctl and nothing else
        )
        return self.process.wait()

    def kill(self) -> None:
        """kill -9 the command at a random moment of its life; the next one if none runs."""
        while self.thread.is_alive():
            process = self.process
            if process is None or process.poll() is not None:
                self.allow_next()
                time.sleep(_POLL_S)
                continue
            time.sleep(random.uniform(0, _LIFE_S))
            if process.poll() is None:
                process.kill()
                return
