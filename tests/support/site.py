"""An installation as its operators run it: servers, supervised workers and the runbook.

Every line of the runbook is carried out as it stands there.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml
from prometheus_client.parser import text_string_to_metric_families

from pipeline.runtime.stages import KAFKA_STAGES
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.kafka_server import KafkaServer
from tests.support.promtool import Scrape, rings
from tests.support.stack import Server, free_ports, wait_until
from tests.support.warm import WarmCommands, WarmProcess

_ROOT = Path(__file__).resolve().parents[2]
_RUNBOOK = _ROOT / "docs/guide/runbook.md"
# Workers of one supervisor that have a port each.
_PORTS = 3
# Several times what a quiet machine needs at most, and less than the time-out of a test.
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Entry:
    """One entry of the runbook: the alerts and metrics that it names, and its commands, line by
    line.
    """

    title: str
    alerts: tuple[str, ...]
    metrics: tuple[str, ...]
    commands: tuple[str, ...]

    def command(self, *words: str) -> str:
        """Return the only command with all of these words; raises ValueError where there is none.

        It raises ValueError where there are several, too.
        """
        (line,) = [line for line in self.commands if all(word in line for word in words)]
        return line


def runbook() -> dict[str, Entry]:
    """Return the entries of docs/guide/runbook.md by their titles."""
    _, *parts = re.split(r"^## ", _RUNBOOK.read_text("utf-8"), flags=re.MULTILINE)
    entries = {}
    for part in parts:
        title, _, text = part.partition("\n")
        blocks = re.findall(r"^```\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
        lines = [
            line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()
        ]
        entries[title] = Entry(
            title,
            tuple(dict.fromkeys(re.findall(r"`(Switchboard[A-Z]\w+)`", text))),
            tuple(dict.fromkeys(re.findall(r"`(switchboard_[a-z_]+)", text))),
            tuple(line for line in lines if line),
        )
    return entries


def services() -> set[str]:
    """Return the services of deploy/compose.yaml."""
    return set(yaml.safe_load((_ROOT / "deploy/compose.yaml").read_text("utf-8"))["services"])


@dataclass
class _Supervisor:
    stage: str
    process: subprocess.Popen[bytes] | WarmProcess
    port: int


@dataclass
class Site:
    """Servers, an environment that names them, and supervisors by the name of their service."""

    folder: Path
    kafka: KafkaServer
    clickhouse: ClickHouseServer
    database: str
    warm: WarmCommands
    environment: dict[str, str] = field(default_factory=dict)
    # What a service is started with: other sources (`PYTHONPATH`), or another environment.
    programs: dict[str, dict[str, str]] = field(default_factory=dict)
    _supervisors: dict[str, _Supervisor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = {
            "SWITCHBOARD_BROKER": self.kafka.broker,
            "SWITCHBOARD_WAREHOUSE": self.clickhouse.url_for(database=self.database),
            "SWITCHBOARD_SECRET": "a secret for tests only",
            "SWITCHBOARD_BODIES": str(self.folder / "bodies"),
            "COLUMNS": "200",
            **self.environment,
        }

    # Commands.

    def call(
        self, *words: str | Path, code: int | None = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `switchboard WORDS` and return its result; `code` None accepts any exit code."""
        arguments = ["--data-dir", str(self.folder / "tools"), *map(str, words)]
        variables = os.environ | self.environment | environment
        if _other_version(variables):
            done = subprocess.run(
                [sys.executable, "-m", "pipeline", *arguments],
                capture_output=True,
                text=True,
                cwd=self.folder,
                env=variables,
                check=False,
            )
        else:
            done = self.warm.run(arguments, self.folder, variables)
        assert code is None or done.returncode == code, (
            f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def do(
        self, line: str, code: int | None = 0, **names: str | Path
    ) -> subprocess.CompletedProcess[str] | None:
        """Carry out a line of the runbook; the operator fills in the NAMES in capitals."""
        for name, value in names.items():
            assert name in line, f"{line} has no {name}"
            line = line.replace(name, str(value))
        environment: dict[str, str] = {}
        words = shlex.split(line)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        if words[:2] == ["docker", "compose"]:
            self._compose(words[2], words[3:], environment)
            return None
        assert words[0] == "switchboard", line
        if words[1] == "worker":
            self.start(words[2], tuple(words[3:]), name=f"another {words[2]}", **environment)
            return None
        return self.call(*words[1:], code=code, **environment)

    def _compose(self, verb: str, words: list[str], environment: dict[str, str]) -> None:
        """Do to servers and supervisors what compose does to the services of compose.yaml."""
        for service in [word for word in words if not word.startswith("-")]:
            assert service in services(), f"deploy/compose.yaml has no service {service}"
            server: Server | None = {"kafka": self.kafka, "clickhouse": self.clickhouse}.get(
                service
            )
            if verb in ("stop", "up", "restart") and server is None:
                self.stop(service)
            if verb in ("start", "up", "restart"):
                if server is None:
                    self.start(service, **environment)
                elif not server.pid:
                    server.start()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows that `switchboard query` prints."""
        return [
            json.loads(line)
            for line in self.call("query", sql, "--format", "JSONEachRow").stdout.splitlines()
        ]

    def publish(self, name: str, text: str) -> Path:
        """Ingest a file of events; return its path."""
        path = self.folder / name
        path.write_text(text, "utf-8")
        self.call("ingest", "events", path)
        return path

    # Workers.

    def start(
        self, stage: str, words: Sequence[str] = (), name: str = "", **environment: str
    ) -> None:
        """Start a supervisor for workers of a stage, with a port for the metrics of each."""
        name, port = name or stage, free_ports(_PORTS)
        arguments = ["--data-dir", str(self.folder / name), "worker", stage, *words]
        variables = (
            os.environ
            | self.environment
            | self.programs.get(name, {})
            | environment
            | {"SWITCHBOARD_METRICS_PORT": str(port)}
        )
        process: subprocess.Popen[bytes] | WarmProcess
        if _other_version(variables):
            with (self.folder / "workers.log").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "pipeline", *arguments],
                    env=variables,
                    cwd=self.folder,
                    stderr=log,
                )
        else:
            process = self.warm.start(
                arguments, self.folder, variables, err=self.folder / "workers.log"
            )
        self._supervisors[name] = _Supervisor(stage, process, port)

    def stop(self, name: str) -> None:
        """End a supervisor and its workers after the batch in flight."""
        if supervisor := self._supervisors.pop(name, None):
            supervisor.process.send_signal(signal.SIGTERM)
            supervisor.process.wait(90)

    def supervisor(self, name: str) -> subprocess.Popen[bytes] | WarmProcess:
        """Return the process of a supervisor."""
        return self._supervisors[name].process

    def close(self) -> None:
        """End everything that was started here, and leave both servers running."""
        for supervisor in self._supervisors.values():
            supervisor.process.terminate()
        for name in list(self._supervisors):
            self.stop(name)
        for server in (self.kafka, self.clickhouse):
            if not server.pid:
                server.start()

    # Observation.

    def scrape(self) -> Scrape:
        """Return the metrics page of every worker; None for a first worker without an answer."""
        return {
            f"{name}:{number}": page
            for name, supervisor in self._supervisors.items()
            for number in range(_PORTS)
            if (page := _page(supervisor.port + number)) is not None or number == 0
        }

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples with these labels over all workers that answer."""
        return sum(
            sample.value
            for page in self.scrape().values()
            for family in text_string_to_metric_families(page or "")
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def until(self, what: str, ready: Callable[[], bool], every: float = 0.5) -> None:
        """Wait until `ready` holds, as long as a busy machine may take."""
        wait_until(what, ready, _PATIENCE_S, every)

    def ready(self) -> None:
        """Wait until every supervisor's first worker has asked for records."""
        self.until(
            "the workers to ask for records",
            lambda: all(_page(one.port) and _is_ready(one) for one in self._supervisors.values()),
        )

    def caught_up(self) -> bool:
        """Return whether no stage has anything left, by `switchboard lag`."""
        behind = json.loads(self.call("lag", "--json").stdout)
        return not any(row["records"] for row in behind if row["group"] in KAFKA_STAGES)

    def rings(self, alert: str, *before: Scrape) -> bool:
        """Return whether an alert would fire after these scrapes and one more now."""
        return rings(alert, [*before, self.scrape()])

    def until_rings(self, alert: str, before: Scrape) -> Scrape:
        """Wait until an alert fires; return the scrape that made it."""
        deadline = time.monotonic() + _PATIENCE_S
        while not rings(alert, [before, scrape := self.scrape()]):
            assert time.monotonic() < deadline, f"{alert} did not fire; the workers say {scrape}"
            time.sleep(0.5)
        return scrape


def _other_version(environment: Mapping[str, str]) -> bool:
    """Return whether PYTHONPATH names another version of the program, which cannot be forked."""
    folders = environment.get("PYTHONPATH", "").split(os.pathsep)
    return any(
        folder and Path(folder).samefile(_ROOT) is False and Path(folder, "pipeline").is_dir()
        for folder in folders
    )


def whole_site(site: Site) -> Iterator[Site]:
    """Start from empty servers, start a worker of every stage, and end everything afterwards."""
    site.kafka.wipe()
    site.call("topics", "apply")
    site.call("migrate")
    try:
        for stage in KAFKA_STAGES:
            site.start(stage)
        site.ready()
        yield site
    finally:
        site.close()


def _is_ready(supervisor: _Supervisor) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{supervisor.port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _page(port: int) -> str | None:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read(), "utf-8")
    except OSError:
        return None
