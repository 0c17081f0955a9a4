"""Live on Faust against a real broker: windows stay exact while workers are killed.

Alerts are raised once and reach the history.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from confluent_kafka import Producer

from pipeline.commands.lag import lags
from pipeline.commands.live import open_live_state
from pipeline.log.clock import now_ms
from pipeline.reporting.live_page import page
from pipeline.runtime.stages import LIVE_TOPICS
from schemas.conversations import Conversation
from schemas.records import BusinessRecord, Record
from schemas.topics import ALERTS, LIVE_STATE
from tests.support import live
from tests.support.broken_messages import corpus
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.installations import SECRET, Distributed
from tests.support.kafka_server import KafkaServer
from tests.support.stack import free_ports, wait_until
from tests.support.warm import WarmCommands, WarmProcess

pytestmark = [pytest.mark.stack, pytest.mark.timeout(800)]
# Every kill may hold a rebalance up for its session, and a worker that stands still is found after
# a minute.
_PATIENCE_S = 240.0


class LiveSite:
    """An installation on real servers, with supervised live workers."""

    def __init__(
        self, folder: Path, kafka: KafkaServer, clickhouse: ClickHouseServer, warm: WarmCommands
    ) -> None:
        kafka.wipe()
        self._warm = warm
        self.folder = folder
        database = "live_" + folder.name.replace("-", "_")
        self.warehouse = clickhouse.url_for(database=database)
        self.kafka = kafka
        self.installation = Distributed(folder / "data", kafka.broker, self.warehouse)
        # One for each worker.
        self.port = free_ports(4)
        self.sent: list[Record | BusinessRecord] = []
        self._supervisor: WarmProcess | None = None

    def work(self, processes: int) -> None:
        """Start live workers, as an operator does."""
        environment = os.environ | {
            "SWITCHBOARD_BROKER": self.kafka.broker,
            "SWITCHBOARD_WAREHOUSE": self.warehouse,
            "SWITCHBOARD_SECRET": SECRET,
            "SWITCHBOARD_LIVE_PORT": str(self.port),
        }
        words = ["--data-dir", str(self.folder / "data"), "worker", "live"]
        self._supervisor = self._warm.start(
            [*words, "--processes", str(processes)],
            self.folder,
            environment,
            err=self.folder / "live.log",
        )

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        assert self._supervisor is not None
        command = ["ps", "-o", "pid=", "--ppid", str(self._supervisor.pid)]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        return [int(word) for word in listed.stdout.split()]

    def rest(self) -> int:
        """Stop the workers in order; return the supervisor's exit code."""
        if self._supervisor is None:
            return 0
        self._supervisor.terminate()
        code = self._supervisor.wait(90)
        self._supervisor = None
        return code

    def send(self, contracts: Sequence[Record | BusinessRecord | Conversation]) -> None:
        """Put what enrich and converse would write on their topics, in one transaction."""
        with self.installation.workspace.open_log() as log, log.transaction() as transaction:
            transaction.produce([live.message_of(one) for one in contracts])
        self.sent += [one for one in contracts if not isinstance(one, Conversation)]

    def difference(self) -> Counter[str]:
        """Return the difference of a day's windows from the exact ones, outside the workers."""
        now = now_ms()
        with open_live_state(self.installation.workspace) as refresh:
            view, watch = refresh()
            found = live.windows_of(dict(page(view, watch, now))).get(("24h", ""), Counter())
        exact = live.exact_windows(self.sent, now).get(("24h", ""), Counter())
        found.subtract(exact)
        return Counter({label: count for label, count in found.items() if count})

    def counted(self) -> None:
        """Wait until the windows are exact; raises TimeoutError with what is wrong."""
        try:
            wait_until("the windows to be exact", lambda: not self.difference(), _PATIENCE_S, 0.5)
        except TimeoutError as error:
            log = (self.folder / "live.log").read_text()[-3_000:]
            raise TimeoutError(
                f"{error}; they differ by {dict(self.difference())}; {log}"
            ) from error


@pytest.fixture
def site(
    kafka: KafkaServer, clickhouse: ClickHouseServer, warm: WarmCommands, tmp_path: Path
) -> Iterator[LiveSite]:
    """Return an empty installation; its workers end with the test."""
    site = LiveSite(tmp_path, kafka, clickhouse, warm)
    yield site
    site.rest()


def test_windows_are_exact_though_workers_are_killed(site: LiveSite) -> None:
    random_ = random.Random(20261122)
    day: list[Record | BusinessRecord] = list(live.quiet_day(6_000, now_ms()))
    day += [live.complaint(number, now_ms() - number * 60_000, number) for number in range(60)]
    parts = [day[start::12] for start in range(12)]
    site.work(2)
    site.send([*parts[0], live.conversation(1, now_ms() - 60_000, now_ms() + 60_000)])
    site.counted()
    deaths = 0
    for number, part in enumerate(parts[1:]):
        site.send(part)
        if number % 2 == 0 and (workers := site.workers()):
            for worker in random_.sample(workers, random_.choice((1, min(2, len(workers))))):
                os.kill(worker, signal.SIGKILL)
                deaths += 1
    site.counted()
    with open_live_state(site.installation.workspace) as refresh:
        told = page(*refresh(), now_ms())
    print(f"{deaths} workers killed, {len(day)} records, none counted twice, none lost")
    assert deaths >= 6
    assert [queue["waiting"] for queue in told["waiting"]] == [1]
    assert [due["contact"] for due in told["due"]] == ["id:C-1"]
    with site.installation.workspace.open_log() as log:
        wait_until(
            "live to have committed what it counted",
            lambda: not any(lag.records for lag in lags(log, now_ms()) if lag.group == "live"),
            _PATIENCE_S,
            0.5,
        )
    assert site.rest() == 0


def test_a_spike_is_one_alert_on_the_page_the_topic_and_in_the_history(site: LiveSite) -> None:
    site.work(1)
    site.send(list(live.quiet_day(1_500, now_ms())))
    site.counted()
    began = now_ms()
    site.send(list(live.spike(60, began - 5_000, 5_000)))
    shown: list[dict[str, object]] = []

    def alerted() -> bool:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{site.port}/live?tenant=default", timeout=10
        ) as answer:
            shown[:] = json.load(answer)["alerts"]
        return bool(shown)

    wait_until("an alert", alerted, _PATIENCE_S, 0.5)
    print(f"alert {now_ms() - began} ms after the first complaint: {shown[0]['message']}")
    assert shown[0]["measure"] in ("need:complaint", "sentiment:negative")
    # Another worker that takes over knows of it and does not tell it again.
    for worker in site.workers():
        os.kill(worker, signal.SIGKILL)
    site.send(list(live.spike(20, now_ms() - 1_000, 1_000, first=20_000_000)))
    site.counted()
    wait_until("the page to tell of the alert again", _again(alerted), _PATIENCE_S, 0.5)
    site.installation.run_stage("load")
    with site.installation.workspace.open_warehouse() as warehouse:
        rows = warehouse.query(
            "SELECT measure, raised_at, length(evidence) FROM alerts FORMAT JSONEachRow"
        ).splitlines()
    assert len(rows) == 1, rows
    assert json.loads(rows[0])["length(evidence)"] >= 5


def _again(alerted: Callable[[], bool]) -> Callable[[], bool]:
    def asked() -> bool:

        try:
            return alerted()
        except OSError:
            # The worker is not back yet.
            return False

    return asked


def test_broken_messages_stop_no_worker(site: LiveSite) -> None:
    site.work(1)
    site.send(list(live.quiet_day(200, now_ms())))
    site.counted()
    workers = site.workers()
    with site.installation.workspace.open_log() as log, log.transaction() as transaction:
        transaction.produce(
            [
                message
                for message in corpus({})
                if message.topic in (*LIVE_TOPICS, LIVE_STATE.name, ALERTS.name)
            ]
        )
    site.send(list(live.spike(30, now_ms() - 1_000, 1_000)))
    site.counted()
    with site.installation.workspace.open_log() as log:
        wait_until(
            "live to have committed the broken messages, too",
            lambda: not any(lag.records for lag in lags(log, now_ms()) if lag.group == "live"),
            _PATIENCE_S,
            0.5,
        )
    assert site.workers() == workers
    # Their owner reads the state, and the alerts, again.
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    site.send(list(live.spike(10, now_ms() - 1_000, 1_000, first=30_000_000)))
    site.counted()
    assert site.rest() == 0


def test_records_of_an_aborted_transaction_are_not_counted(site: LiveSite) -> None:
    site.work(1)
    site.send(list(live.quiet_day(200, now_ms())))
    site.counted()
    producer = Producer(
        {"bootstrap.servers": site.kafka.broker, "transactional.id": "aborts", "log_level": 0}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    for one in live.spike(50, now_ms() - 1_000, 1_000):
        message = live.message_of(one)
        producer.produce(message.topic, message.value, message.key, headers=list(message.headers))
    producer.flush(30)
    producer.abort_transaction(30)
    site.send(
        [
            live.record(900_000, now_ms(), customer=number, need="logistics", sentiment="neutral")
            for number in range(30)
        ]
    )
    site.counted()
