"""Read thousands of broken inputs through every connector; fail on a crash, a leak or a hang.

`make fuzz` runs it.

python bench/fuzz.py [--n 10000] [--connector NAME] [--seed S] [--only NUMBER]
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import io
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.ingest.port import (  # noqa: E402
    MAX_ITEM_BYTES,
    Connector,
    ConnectorItem,
    InputUnit,
    OptionError,
    ReadEvent,
)
from pipeline.ingest.registry import CONNECTORS  # noqa: E402
from pipeline.mail.mime import NotAMailError, parse_mail  # noqa: E402
from schemas.communications import EmailData  # noqa: E402
from schemas.registry import contract_of, explain  # noqa: E402
from tests.support import fuzz  # noqa: E402
from tests.support.seeds import OPTIONS  # noqa: E402

MEGABYTE = 1024 * 1024
# An item of the largest size: its bytes, the event's base64 and the parsed text, in two or three
# copies, and the input itself.
PEAK_BOUND = 14 * MAX_ITEM_BYTES
# Caches are filled and the allocator keeps pages. Ten thousand inputs that leak a kilobyte each
# would exceed this.
GROWTH_BOUND = 96 * MEGABYTE
# A runaway allocation must end in MemoryError, not in the machine's out-of-memory killer.
ADDRESS_SPACE = 4 * 1024 * MEGABYTE
# The slowest input of full size, a chat of 70,000 messages, takes 20 seconds on an idle machine. A
# longer time means that a parser is quadratic.
SECONDS_PER_INPUT = 60
# After this many seconds the stack is printed; after three times as many the input is abandoned, if
# Python still runs.
PATIENCE = 3

# Width of the table if the output is not a terminal.
TABLE_WIDTH = 140

Check = Callable[[ConnectorItem], None]
"""Called with every item of a connector; any exception is a crash."""


def check_contract(item: ConnectorItem) -> None:
    """Validate an event's data like the publisher: it is valid, or the error can be explained."""
    if not isinstance(item, ReadEvent):
        return
    contract = contract_of(item.event.type, item.event.data)
    assert contract is not None, f"no contract has the type {item.event.type}"
    try:
        data = contract.model_validate(item.event.data)
    except ValidationError as error:
        explain(error)
        return
    if isinstance(data, EmailData) and data.mime is not None:
        try:
            parse_mail(data.mime)
        except NotAMailError as error:
            assert str(error)  # noqa: PT017


# Checks of every item.
CHECKS: list[Check] = [check_contract]


@dataclass
class Tally:
    """Results of one connector's inputs."""

    connector: str
    inputs: int = 0
    records: int = 0
    rejected: int = 0
    crashes: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    peak: int = 0
    growth: int = 0

    def failures(self) -> list[str]:
        """Return the failed limits, one line each."""
        failures = [f"{count} × {crash}" for crash, count in self.crashes.most_common()]
        if self.peak > PEAK_BOUND:
            failures.append(
                f"peak memory {self.peak // MEGABYTE} MB above the start, more than"
                f" {PEAK_BOUND // MEGABYTE} MB"
            )
        if self.growth > GROWTH_BOUND:
            failures.append(
                f"memory grew by {self.growth // MEGABYTE} MB, more than"
                f" {GROWTH_BOUND // MEGABYTE} MB"
            )
        if self.slowest[0] > SECONDS_PER_INPUT:
            failures.append(
                f"{self.slowest[1]} took {self.slowest[0]:.1f} s, more than {SECONDS_PER_INPUT} s"
            )
        return failures


class TooSlowError(Exception):
    """An input took so long that it was abandoned."""


class InputTimer:
    """Prints the stack when an input takes too long, and abandons it later.

    The stack is printed by the signal's own handler and not by faulthandler's timer, whose thread
    reads frames that are in use.
    """

    def __init__(self) -> None:
        self._alarms = 0
        signal.signal(signal.SIGALRM, self._alarm)
        faulthandler.register(signal.SIGALRM, all_threads=False, chain=True)

    def begin(self) -> None:
        """Start the timer of an input."""
        self._alarms = 0
        signal.setitimer(signal.ITIMER_REAL, SECONDS_PER_INPUT, SECONDS_PER_INPUT)

    def end(self) -> None:
        """Stop the timer."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _alarm(self, _signal: int, _frame: FrameType | None) -> None:
        self._alarms += 1
        if self._alarms >= PATIENCE:
            raise TooSlowError(f"abandoned after {SECONDS_PER_INPUT * PATIENCE} s")


class Bench:
    """Runs inputs through connectors and checks in this process, and measures it."""

    def __init__(self, checks: Sequence[Check], folder: Path) -> None:
        self._checks = checks
        self._timer = InputTimer()
        self._file = folder / "unit"
        self._running = os.open(folder / "running", os.O_CREAT | os.O_RDWR)

    def run(self, name: str, inputs: Iterator[fuzz.Case], count: int) -> Tally:
        """Read the inputs of one connector."""
        tally = Tally(name)
        reset_peak()
        start = baseline = memory("VmRSS")
        for case in inputs:
            self._run_case(CONNECTORS[name], case, tally)
            if tally.inputs == max(1, count // 5):
                gc.collect()
                baseline = memory("VmRSS")
        tally.peak = memory("VmHWM") - start
        gc.collect()
        tally.growth = max(0, memory("VmRSS") - baseline)
        return tally

    def _run_case(self, connector: Connector, case: fuzz.Case, tally: Tally) -> None:
        timer = self._timer
        # After a crash of the interpreter itself, this file names the input.
        os.pwrite(self._running, case.label.ljust(200).encode(), 0)
        timer.begin()
        began = time.perf_counter()
        try:
            for unit in self._units(connector, case):
                for item in connector.read(unit, OPTIONS):
                    tally.records += isinstance(item, ReadEvent)
                    tally.rejected += not isinstance(item, ReadEvent)
                    for check in self._checks:
                        check(item)
        except OptionError:
            tally.rejected += 1  # the connector asks a person: the whole input waits
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
            tally.crashes[
                f"{type(error).__name__} in {where}: {str(error)[:160]} (first: {case.label})"
            ] += 1
        finally:
            timer.end()
        tally.inputs += 1
        tally.slowest = max(tally.slowest, (time.perf_counter() - began, case.label))

    def _units(self, connector: Connector, case: fuzz.Case) -> Iterator[InputUnit]:
        if not case.packed:
            return iter([InputUnit("/fuzz/unit", lambda: io.BytesIO(case.data))])
        self._file.write_bytes(case.data)
        return connector.units([self._file])


def memory(name: str) -> int:
    """Return a value of /proc/self/status in bytes: VmRSS, or VmHWM, its peak."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(
        int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{name}:")
    )


def reset_peak() -> None:
    """Reset VmHWM (Linux, proc(5))."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def report(tallies: Sequence[Tally], console: Console) -> bool:
    """Print the table and the failures; return whether there are none."""
    table = Table(title="broken inputs")
    for column in (
        "connector",
        "inputs",
        "records",
        "rejected",
        "crashes",
        "peak MB",
        "growth MB",
        "slowest s",
        "slowest input",
    ):
        table.add_column(
            column, justify="left" if column in ("connector", "slowest input") else "right"
        )
    for tally in tallies:
        seconds, label = tally.slowest
        kind = label.removeprefix(f"{tally.connector} --seed ").partition(" ")[2]
        figures = (tally.inputs, tally.records, tally.rejected, tally.crashes.total())
        sizes = (tally.peak // MEGABYTE, tally.growth // MEGABYTE)
        table.add_row(
            tally.connector,
            *(f"{figure:,}" for figure in (*figures, *sizes)),
            f"{seconds:.2f}",
            Text(kind),
        )
    console.print(table)
    wrong = [f"{tally.connector}: {failure}" for tally in tallies for failure in tally.failures()]
    for line in wrong:
        console.print(Text(line))
    return not wrong


def main(arguments: Sequence[str] | None = None, checks: Sequence[Check] = ()) -> int:
    """Run the inputs; return 1 on a crash, a leak or a hang.

    `checks` are called with every item in addition to the built-in ones.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=10_000, help="inputs per connector")
    parser.add_argument("--connector", choices=sorted(CONNECTORS), help="this one alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="this input alone, by its number")
    args = parser.parse_args(arguments)
    faulthandler.enable()
    resource.setrlimit(
        resource.RLIMIT_AS, (ADDRESS_SPACE, resource.getrlimit(resource.RLIMIT_AS)[1])
    )
    terminal = Console()
    console = Console(width=max(terminal.width, TABLE_WIDTH))
    numbers = range(args.n) if args.only is None else range(args.only, args.only + 1)
    tallies = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        console.print(Text(f"the input being read is named in {folder}/running"))
        bench = Bench([*CHECKS, *checks], Path(folder))
        for name in [args.connector] if args.connector else sorted(CONNECTORS):
            inputs = (fuzz.case(name, args.seed, number) for number in numbers)
            tallies.append(bench.run(name, inputs, len(numbers)))
    return 0 if report(tallies, console) else 1


if __name__ == "__main__":
    sys.exit(main())
