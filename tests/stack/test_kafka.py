"""What only a real broker shows: rebalances, fencing, transactions cut by kill -9, the spool.

Topics, states and lag too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.commands.host_factory import kafka_host
from pipeline.log.claim_check import FolderBodyStore
from pipeline.log.port import GroupRunningError, LogRecord, Message, republish_message
from pipeline.runtime.crash_quarantine import CrashMarkers
from pipeline.runtime.kafka import kafka_host as kafka_host_module
from pipeline.runtime.kafka.broker import Broker, BrokerError
from pipeline.runtime.kafka.group_members import instance_id, unassigned_partitions
from pipeline.runtime.kafka.kafka_host import BatchLimits, HostFailedError, KafkaHost
from pipeline.runtime.kafka.kafka_log import KafkaLog
from pipeline.runtime.kafka.partitioner import key_partition
from pipeline.runtime.kafka.repartition import add_partitions
from pipeline.runtime.kafka.spool import SpoolFullError
from pipeline.runtime.kafka.state_cache import StateCache
from pipeline.runtime.kafka.topic_admin import TopicPlan
from pipeline.runtime.stages import STATE_TOPICS
from pipeline.workspace import Workspace
from schemas.topics import BUSINESS, CONVERSE_STATE, RAW_CHAT, RAW_EMAIL, RECORDS, TOPICS
from tests.support.installations import settings_in
from tests.support.kafka_server import KafkaServer
from tests.support.short_waits import shorten_waits
from tests.support.stack import wait_until

pytestmark = pytest.mark.stack
_SIZES = BatchLimits(100, 1 << 20, 0.02)


@pytest.fixture
def broker(kafka: KafkaServer) -> Broker:
    """Return a broker with all topics and nothing in them."""
    kafka.wipe()
    broker = Broker(kafka.broker)
    plan = TopicPlan(broker, None, -1)
    plan.apply(plan.changes())
    return broker


@pytest.fixture
def log(broker: Broker, tmp_path: Path) -> Iterator[KafkaLog]:
    """Return the log of publishers and tools."""
    log = KafkaLog(broker, tmp_path / "log", 1 << 20)
    yield log
    log.close()


def publish(log: KafkaLog, count: int, start: int = 0, topic: str = RAW_CHAT.name) -> None:
    """Put numbered messages on a topic."""
    with log.transaction() as transaction:
        transaction.produce(
            [
                Message(topic, b"k%d" % number, b"%d" % number)
                for number in range(start, start + count)
            ]
        )


def send(log: KafkaLog, message: Message, checkpoint: bytes) -> None:
    """Send one message with the checkpoint `ingest/x`."""
    with log.transaction() as transaction:
        transaction.produce([message])
        transaction.checkpoint("ingest/x", checkpoint)


def everything(log: KafkaLog, topic: str, partitions: int | None = None) -> list[LogRecord]:
    """Return all committed records of a topic."""
    found: list[LogRecord] = []
    for partition in range(partitions or TOPICS[topic].partitions):
        start = 0
        while records := log.scan(topic, partition, start, 10_000):
            found += records
            start = records[-1].offset + 1
    return found


@dataclass
class CopyStage:
    """A stage that copies chats to records and remembers what it received."""

    name: str = "enrich"
    topics: tuple[str, ...] = (RAW_CHAT.name,)
    received: list[bytes] = field(default_factory=list)

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        self.received += [record.value for record in records]
        return [
            Message(RECORDS.name, record.key, record.value, record.headers) for record in records
        ]


class DropStage(CopyStage):
    """A stage that emits nothing."""

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        return []


@dataclass
class Member:
    """A host in a thread of its own."""

    host: KafkaHost
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        _MEMBERS.append(self)

    def _run(self) -> None:
        try:
            self.host.run(self._stop.is_set)
        except BaseException as error:  # the test asks for it
            self.error = error

    def leave(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


_MEMBERS: list[Member] = []


@pytest.fixture(autouse=True)
def _end_members() -> Iterator[None]:
    """End the members that a failed test has left behind."""
    yield
    while _MEMBERS:
        _MEMBERS.pop().leave()


def member(
    broker: Broker, folder: Path, stage: CopyStage, slot: int = 0, states: StateCache | None = None
) -> Member:
    """Start a host of a stage."""
    blobs = FolderBodyStore(folder / "bodies")
    marks = CrashMarkers(folder / "in-flight")
    # The watchdog is the process's own; several hosts share this one.
    return Member(
        KafkaHost(
            broker, stage, "enrich", f"test-{slot}", blobs, _SIZES, marks, states, watchdog=False
        )
    )


def test_every_record_is_copied_once_while_members_join_and_leave(
    broker: Broker, log: KafkaLog, tmp_path: Path
) -> None:
    stages = [CopyStage(), CopyStage(), CopyStage()]
    sent = 0

    def flow_until_works(stage: CopyStage) -> None:
        def works() -> bool:
            nonlocal sent
            publish(log, 200, sent)
            sent += 200
            return bool(stage.received)

        wait_until("a member to get a partition with records", works, every=0.5)

    first = member(broker, tmp_path, stages[0], 0)
    flow_until_works(stages[0])
    second = member(broker, tmp_path, stages[1], 1)
    flow_until_works(stages[1])
    first.leave()
    third = member(broker, tmp_path, stages[2], 2)
    flow_until_works(stages[2])
    wait_until(
        "all to be copied",
        lambda: not sum(lag.records for lag in log.lag("enrich", [RAW_CHAT.name], 0)),
    )
    second.leave()
    third.leave()
    assert [one.error for one in (first, second, third)] == [None] * 3
    values = sorted(int(record.value) for record in everything(log, RECORDS.name))
    assert values == list(range(sent))


def test_order_within_a_partition_is_kept(broker: Broker, log: KafkaLog, tmp_path: Path) -> None:
    publish(log, 2_000)
    one = member(broker, tmp_path, CopyStage())
    wait_until(
        "all to be copied",
        lambda: not sum(lag.records for lag in log.lag("enrich", [RAW_CHAT.name], 0)),
    )
    one.leave()
    for partition in range(RAW_CHAT.partitions):
        came = [record.value for record in log.scan(RAW_CHAT.name, partition, 0, 10_000)]
        went = [record.value for record in log.scan(RECORDS.name, partition, 0, 10_000)]
        # The same key, the same partitioner, the same number of partitions: the same place.
        assert went == came


def test_a_worker_with_the_same_transactional_id_fences_the_older(
    broker: Broker, log: KafkaLog, tmp_path: Path
) -> None:
    older = member(broker, tmp_path / "a", CopyStage(), slot=7)
    publish(log, 10)
    wait_until("the older to commit", lambda: older.host.counts["records"] == 10)
    newer = member(broker, tmp_path / "b", CopyStage(), slot=7)
    number = 10
    while older.error is None:
        publish(log, 10, number)
        number += 10
        assert number < 10_000, "the older is never fenced"
    assert isinstance(older.error, HostFailedError)
    wait_until(
        "the newer to take over",
        lambda: not sum(lag.records for lag in log.lag("enrich", [RAW_CHAT.name], 0)),
    )
    newer.leave()
    older.leave()
    assert sorted(int(record.value) for record in everything(log, RECORDS.name)) == list(
        range(number)
    )


def test_a_worker_killed_inside_a_transaction_leaves_nothing_behind(
    broker: Broker, log: KafkaLog, tmp_path: Path
) -> None:
    publish(log, 500)
    script = "import sys; from tests.stack.test_kafka import run_host_until_killed as run; run()"
    command = [sys.executable, "-c", script, broker.servers, str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=os.environ
    )
    assert done.returncode == -9, done.stderr
    assert everything(log, RECORDS.name) == []
    one = member(broker, tmp_path, CopyStage(), slot=0)
    wait_until(
        "all to be copied",
        lambda: not sum(lag.records for lag in log.lag("enrich", [RAW_CHAT.name], 0)),
    )
    one.leave()
    assert sorted(int(record.value) for record in everything(log, RECORDS.name)) == list(range(500))


def test_a_worker_killed_while_it_gives_up_partitions_leaves_none_unread(
    broker: Broker, log: KafkaLog, tmp_path: Path
) -> None:
    script = "import sys; from tests.stack.test_kafka import hang_as_member as run; run()"
    command = [sys.executable, "-c", script, broker.servers]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as hung:
        assert hung.stdout is not None
        assert hung.stdout.readline() == "has all partitions\n"
        other = member(broker, tmp_path, CopyStage(), slot=1)
        # The group has taken partitions from the first member and gives them to nobody before that
        # member, which hangs, agrees.
        wait_until(
            "the group to take partitions away",
            lambda: unassigned_partitions(broker, "enrich", [RAW_CHAT.name]),
        )
        hung.kill()
    successor = member(broker, tmp_path, CopyStage(), slot=0)
    publish(log, 500)
    wait_until(
        "all to be copied",
        lambda: sum(one.host.counts["records"] for one in (other, successor)) == 500,
    )
    other.leave()
    successor.leave()
    assert [one.error for one in (other, successor)] == [None] * 2
    assert sorted(int(record.value) for record in everything(log, RECORDS.name)) == list(range(500))


def hang_as_member() -> None:
    """Join the group as `member` with slot 0 would, and hang when all partitions are assigned.

    The command line has the broker.
    """
    shorten_waits()
    broker, stage = Broker(sys.argv[1]), CopyStage()
    consumer = broker.group_consumer("enrich", instance_id("test-0", stage.topics))
    consumer.subscribe(list(stage.topics))
    while len(consumer.assignment()) < RAW_CHAT.partitions:
        consumer.poll(0.1)
    print("has all partitions", flush=True)
    signal.pause()


def run_host_until_killed() -> None:
    """Run a host that is killed after it sent a transaction's messages and before it commits them.

    The command line has the broker and a folder.
    """
    servers, folder = sys.argv[1], Path(sys.argv[2])
    send = kafka_host_module.produce

    def send_and_die(producer: Any, messages: Sequence[Message], on_delivery: Any = None) -> None:
        send(producer, messages, on_delivery)
        producer.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    kafka_host_module.produce = send_and_die
    shorten_waits()
    bodies, markers = FolderBodyStore(folder / "b"), CrashMarkers(folder / "in-flight")
    KafkaHost(Broker(servers), CopyStage(), "enrich", "test-0", bodies, _SIZES, markers).run(
        lambda: False
    )


@dataclass
class CountStage(CopyStage):
    """A stage with states: the number of records of each key."""

    name: str = "converse"
    topics: tuple[str, ...] = (RECORDS.name,)
    states: StateCache | None = None

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        assert self.states is not None
        home = {
            record.key: self.states.state_partition(CONVERSE_STATE.name, record.key or b"")
            for record in records
        }
        # A publisher learns of new partitions half a minute late.
        messages = [
            republish_message(record) for record in records if record.partition != home[record.key]
        ]
        for partition in {record.partition for record in records}:
            keys = [
                one.key or b"" for one in records if one.partition == partition == home[one.key]
            ]
            before = self.states.read_states(CONVERSE_STATE.name, partition, sorted(set(keys)))
            for key in sorted(set(keys)):
                total = b"%d" % (int(before.get(key, b"0")) + keys.count(key))
                messages.append(Message(CONVERSE_STATE.name, key, total, partition=partition))
        return messages


def test_states_follow_their_partitions_with_and_without_a_cache(
    broker: Broker, log: KafkaLog, tmp_path: Path
) -> None:
    def counted(folder: str, slot: int) -> Member:
        cache = StateCache(broker, {RECORDS.name: CONVERSE_STATE.name}, tmp_path / folder)
        return member(broker, tmp_path, CountStage(states=cache), slot, cache)

    def feed(rounds: int) -> None:
        with log.transaction() as transaction:
            transaction.produce(
                [Message(RECORDS.name, b"k%d" % n, b"x") for _ in range(rounds) for n in range(50)]
            )
        wait_until(
            "all to be counted",
            lambda: not sum(lag.records for lag in log.lag("enrich", [RECORDS.name], 0)),
        )

    one = counted("one", 0)
    feed(3)
    two = counted("two", 1)
    feed(4)
    one.leave()
    feed(5)
    two.leave()
    back = counted("one", 0)
    feed(6)
    back.leave()
    fresh = counted("three", 2)
    feed(7)
    fresh.leave()
    assert [part.error for part in (one, two, back, fresh)] == [None] * 4
    latest = {record.key: record.value for record in everything(log, CONVERSE_STATE.name)}
    assert latest == {b"k%d" % number: b"25" for number in range(50)}


def test_messages_are_spooled_while_the_broker_is_away_and_sent_later(tmp_path: Path) -> None:
    with KafkaServer(tmp_path / "kafka") as kafka:
        broker = Broker(kafka.broker)
        plan = TopicPlan(broker, None, -1)
        plan.apply(plan.changes())
        log = KafkaLog(broker, tmp_path / "log", 3_000)
        publish(log, 5)
        kafka.kill()
        headers = (("ce_id", b"1"), ("ce_source", b"\xff"))
        send(log, Message(RAW_CHAT.name, b"a", b"late", headers), b"17")
        assert (log.spooled()[0], log.checkpoint("ingest/x")) == (1, b"17")
        with pytest.raises(SpoolFullError):
            send(log, Message(RAW_CHAT.name, b"a", b"x" * 3_000), b"18")
        assert log.checkpoint("ingest/x") == b"17"
        log.close()
        kafka.start()
        log = KafkaLog(broker, tmp_path / "log", 3_000)
        publish(log, 5, 5)
        assert log.spooled() == (0, 0)
        found = everything(log, RAW_CHAT.name)
        assert sorted(record.value for record in found) == sorted(
            [*(b"%d" % n for n in range(10)), b"late"]
        )
        assert [tuple(record.headers) for record in found if record.value == b"late"] == [headers]
        log.close()


def test_a_permanent_refusal_is_an_error_and_sets_no_checkpoint(log: KafkaLog) -> None:
    with pytest.raises(BrokerError, match=r"lacks no\.such\.topic"):
        send(log, Message("no.such.topic", b"a", b"x"), b"1")
    assert log.checkpoint("ingest/x") is None
    assert log.spooled() == (0, 0)


def test_topics_are_compared_applied_and_grown_but_never_shrunk(broker: Broker) -> None:
    assert TopicPlan(broker, None, -1).changes() == []
    plan = TopicPlan(broker, 8, -1)
    changes = plan.changes()
    assert {
        (change.setting, change.current, change.wanted, change.manual) for change in changes
    } == {("partitions", "6", "8", True)}
    plan.apply(changes)
    assert plan.changes() == changes
    add_partitions(broker, changes, STATE_TOPICS, "converse")
    wait_until("the new partitions", lambda: TopicPlan(broker, 8, -1).changes() == [])
    with pytest.raises(BrokerError, match="cannot remove partitions"):
        add_partitions(broker, TopicPlan(broker, 6, -1).changes(), STATE_TOPICS, "converse")


def test_states_move_with_their_keys_and_an_interrupted_growth_is_resumed(
    broker: Broker, log: KafkaLog, tmp_path: Path
) -> None:
    def counted(folder: str, slot: int) -> Member:
        cache = StateCache(broker, {RECORDS.name: CONVERSE_STATE.name}, tmp_path / folder)
        return member(broker, tmp_path, CountStage(states=cache), slot, cache)

    def feed() -> None:
        with log.transaction() as transaction:
            transaction.produce([Message(RECORDS.name, b"k%d" % n, b"x") for n in range(50)])
        wait_until(
            "all to be counted",
            lambda: not sum(lag.records for lag in log.lag("enrich", [RECORDS.name], 0)),
        )

    one = counted("one", 0)
    feed()
    changes = TopicPlan(broker, 9, -1).changes()
    with pytest.raises(GroupRunningError, match="1 workers of enrich run"):
        add_partitions(broker, changes, STATE_TOPICS, "enrich")
    one.leave()
    # As where it died after the states' topic has grown.
    add_partitions(
        broker,
        [change for change in changes if change.topic == CONVERSE_STATE.name],
        STATE_TOPICS,
        "enrich",
    )
    early = counted("one", 0)
    wait_until("the worker to refuse", lambda: early.error is not None)
    assert "run `switchboard topics apply --grow`" in str(early.error)
    early.leave()
    assert (
        add_partitions(broker, TopicPlan(broker, 9, -1).changes(), STATE_TOPICS, "enrich") == 0
    ), "all have moved before"
    # The old cache has states that have moved away: it must not be used.
    back = counted("one", 0)
    feed()
    back.leave()
    assert back.error is None
    latest = {
        (record.partition, record.key): record.value
        for record in everything(log, CONVERSE_STATE.name, 9)
    }
    assert {at: value for at, value in latest.items() if value} == {
        (key_partition(b"k%d" % n, 9), b"k%d" % n): b"2" for n in range(50)
    }


def test_a_changed_configuration_is_reported_and_reset(broker: Broker) -> None:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, RAW_EMAIL.name, incremental_configs=[entry])
    admin = broker.admin
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()
    plan = TopicPlan(broker, None, -1)
    wait_until("the broker to report the change", lambda: bool(plan.changes()))
    (change,) = plan.changes()
    assert (change.topic, change.setting, change.current) == (
        RAW_EMAIL.name,
        "retention.ms",
        "1000",
    )
    plan.apply([change])
    wait_until("the broker to report the change", lambda: not plan.changes())


def _left(host: KafkaHost) -> list[float]:
    """Return the lag by a host's own metrics, partition by partition."""
    families = text_string_to_metric_families(host.meter.render().decode())
    return [
        one.value
        for family in families
        for one in family.samples
        if one.name == "switchboard_lag_records"
    ]


def test_lag_counts_records_and_seconds_but_no_transaction_markers(
    broker: Broker, log: KafkaLog, tmp_path: Path
) -> None:
    publish(log, 200)
    one = member(broker, tmp_path, CopyStage())
    wait_until(
        "all to be copied",
        lambda: not sum(lag.records for lag in log.lag("enrich", [RAW_CHAT.name], 0)),
    )
    one.leave()
    # The copies were written in transactions: behind the last record lie transaction markers.
    records = everything(log, RECORDS.name)
    oldest = min(record.timestamp_ms for record in records)
    (lag,) = log.lag("converse", [RECORDS.name], oldest + 5_000)
    assert lag.seconds == pytest.approx(5.0)
    assert sorted(record.value for record in log.unread("converse", [RECORDS.name])) == sorted(
        r.value for r in records
    )
    assert 200 <= lag.records <= 200 + one.host.counts["batches"] * RECORDS.partitions
    host = KafkaHost(
        broker,
        DropStage(name="converse", topics=(RECORDS.name,)),
        "converse",
        "test-9",
        FolderBodyStore(tmp_path),
        _SIZES,
        CrashMarkers(tmp_path / "marks"),
        watchdog=False,
    )
    two = Member(host)
    wait_until("all to be read", lambda: host.counts["records"] == 200)
    wait_until("the worker to know it", lambda: _left(host) == [0.0] * RECORDS.partitions)
    assert b'switchboard_behind_seconds{stage="converse"} 0.0' in host.meter.render()
    two.leave()
    (lag,) = log.lag("converse", [RECORDS.name], int(time.time() * 1000))
    assert (lag.records, lag.seconds) == (0, 0.0)
    assert list(log.unread("converse", [RECORDS.name])) == []


@pytest.mark.parametrize("stage", ["enrich", "converse"])
def test_the_error_of_a_missing_topic_names_the_remedy(
    kafka: KafkaServer, tmp_path: Path, stage: str
) -> None:
    kafka.wipe()
    workspace = Workspace(
        settings_in(tmp_path, broker=kafka.broker, warehouse="clickhouse://nobody@127.0.0.1:1/none")
    )
    with (
        pytest.raises(
            BrokerError, match=r"lacks .*raw\.chat\.v1.*: run `switchboard topics apply`"
        ),
        kafka_host(workspace, stage),
    ):
        pass


def test_a_scan_resumes_where_it_ended(broker: Broker, log: KafkaLog) -> None:
    assert log.scan(BUSINESS.name, 0, 0, 10) == []
    with log.transaction() as transaction:
        transaction.produce(
            [Message(BUSINESS.name, b"k", b"%d" % n, partition=0) for n in range(25)]
        )
    wait_until("the first", lambda: bool(log.scan(BUSINESS.name, 0, 0, 10)))
    values: list[bytes] = []
    while records := log.scan(BUSINESS.name, 0, len(values), 10):
        values += [record.value for record in records]
        assert len(records) <= 10
    assert values == [b"%d" % n for n in range(25)]
