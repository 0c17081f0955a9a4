"""The Faust host of live: an agent folds records into a Table, and a leader raises alerts.

A web view shows the windows as JSON. The losses that docs/adr/0012 measured with Faust are avoided:
no exception leaves the agent, every write is acknowledged before an iteration ends, and after a
rebalance reading goes on from the offsets in the Table (faust_driver.py, docs/adr/0012).
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust

# Alerts import it on first use; in the event loop this would be seconds without a heartbeat.
import river.drift  # noqa: F401
from faust.types import TP, EventT
from faust.web import Request, Response
from faust.web import View as WebView
from yarl import URL

from pipeline.errors import UserError
from pipeline.log.claim_check import BodyStore
from pipeline.log.clock import now_ms
from pipeline.log.port import LogRecord, Message, TopicPartition
from pipeline.metrics import BatchMeter, Meter
from pipeline.processors.live.alerts import AlertMonitor
from pipeline.processors.live.view import LiveView
from pipeline.runtime.check_out import check_out_and_handle
from pipeline.runtime.crash_quarantine import CrashMarkers, SubBatch, quarantine
from pipeline.runtime.faust_driver import StateOffsetConsumer, previous_offset, transport
from pipeline.runtime.faust_state import LiveState, UnmanagedTable
from pipeline.runtime.gap_detection import take_in_order
from pipeline.runtime.kafka.broker import Broker
from pipeline.runtime.kafka.topic_scan import KafkaScan, first_records, offset_bounds
from pipeline.runtime.live_handler import alert_message, live_fold_handler, recent_alerts
from pipeline.runtime.stages import LIVE_TOPICS
from schemas.topics import LIVE_STATE, RECORDS

logger = logging.getLogger(__name__)
# It warns about every hundred messages in flight, although the end of a batch waits for them.
logging.getLogger("faust.transport.producer").setLevel(logging.ERROR)

STAGE = "live"
# A batch has the records of half a second: so a record is counted within a second, and a pane is
# written twice a second instead of once a record.
_TAKE, _WITHIN_S = 1_000, 0.5
# Alerts must be raised within a minute; checking takes some tens of milliseconds.
_ALERT_CHECK_S = 5.0
# A wrong count may stay for twice as long; comparing some thousand states takes milliseconds.
_REPAIR_S = 5.0
# Faust's own default, which it requires even without a web server.
_FAUST_PORT = 6066
# A worker may miss two of three heartbeats; after this session the group misses it.
_SESSION_S, _HEARTBEAT_S = 10.0, 3.0
# A worker that counted no record for this long while it had some is stuck (issues of Faust report
# "consumers slowly die").
_STUCK_S = 30.0
# A rebalance waits this long for a member that died; Faust's default is a minute.
_REBALANCE_S = 15.0
# sysexits.h, EX_SOFTWARE: the supervisor restarts the worker.
_EXIT_FAILED = 70
# Records older than the largest window change nothing, so a first start reads the log from here on.
_HISTORY_MS = 25 * 3_600_000


@dataclass
class LiveApp:
    """One worker of live; `app` is the Faust application to run."""

    broker: Broker
    folder: Path
    bodies: BodyStore
    markers: CrashMarkers
    web_host: str
    web_port: int | None
    meter: Meter
    build_page: Callable[[LiveView, AlertMonitor, int, str], Mapping[str, Any]]
    supervisor_pid: int = 0
    view: LiveView = field(default_factory=LiveView)
    alerts: AlertMonitor = field(default_factory=AlertMonitor)
    counts: Counter[str] = field(default_factory=Counter)
    _leading: bool = False
    _inbox: asyncio.Queue[EventT[Any]] = field(default_factory=lambda: asyncio.Queue(2 * _TAKE))
    _folding: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._partitions = _partitions(self.broker)
        self._scan = KafkaScan(self.broker)
        self.app = self._create_app()
        self._topic = self.app.topic(*LIVE_TOPICS, **_RAW)
        changelog = self.app.topic(
            LIVE_STATE.name, partitions=self._partitions, compacting=True, **_RAW
        )
        table = self.app.Table(
            "live",
            partitions=self._partitions,
            changelog_topic=changelog,
            key_type=bytes,
            value_type=bytes,
        )
        self.state = LiveState(self.broker, table, self.view)
        self._handler = live_fold_handler(self.state, counts=self.counts)
        self.app.agent(self._topic, concurrency=1, name="live")(self._receive)
        self.app.task(self._fold)
        self.app.task(self._read_changelog)
        self.app.timer(_ALERT_CHECK_S)(self._check_alerts)
        self.app.timer(1.0)(self._check_parent)
        self.app.timer(_REPAIR_S)(self._repair)
        self.app.on_partitions_revoked.connect(self._revoked)
        self.app.page("/live")(self._web_view())
        threading.Thread(target=self._watchdog, name="watchdog", daemon=True).start()

    def _create_app(self) -> faust.App:
        url = URL(f"kafka://{self.broker.servers.replace(',', ';kafka://')}")
        app = faust.App(
            STAGE,
            broker=[URL(f"kafka://{server}") for server in self.broker.servers.split(",")],
            broker_credentials=_credentials(self.broker.security),
            broker_session_timeout=_SESSION_S,
            broker_heartbeat_interval=_HEARTBEAT_S,
            broker_rebalance_timeout=_REBALANCE_S,
            consumer_auto_offset_reset="earliest",
            # `topics apply` creates the topics.
            topic_allow_declare=False,
            topic_disable_leader=True,
            store="memory://",
            Table=UnmanagedTable,
            # The state of a day is read from its topic in a second; standbys would read every write
            # to save that second.
            table_standby_replicas=0,
            datadir=str(self.folder / "faust"),
            # Only our view is served: Faust's own show internals.
            web_enabled=self.web_port is not None,
            web_bind=self.web_host,
            web_host=self.web_host,
            web_port=self.web_port or _FAUST_PORT,
            worker_redirect_stdouts=False,
            stream_wait_empty=False,
        )
        app.transport = transport(app, url, self._start_offsets)
        return app

    # --- folding

    async def _receive(self, stream: Any) -> None:
        # Without `take_events`: it can drop an event that arrives while a batch ends, once in some
        # thousand batches under load.
        async for event in stream.noack().events():
            await self._inbox.put(event)

    async def _fold(self) -> None:
        while not self.app.should_stop:
            events = [await self._inbox.get()]
            meter = BatchMeter(self.meter, STAGE)
            if self._inbox.qsize() < _TAKE:
                await asyncio.sleep(_WITHIN_S)
            while len(events) < _TAKE and not self._inbox.empty():
                events.append(self._inbox.get_nowait())
            try:
                await self._batch(events, meter)
            except Exception as error:
                self.markers.fail(error)
                # Faust would log the exception and acknowledge the batch.
                logger.exception(
                    "Batch of live failed; ending the process so that the supervisor restarts it"
                )
                os._exit(_EXIT_FAILED)

    async def _batch(self, received: Sequence[EventT[Any]], meter: BatchMeter) -> None:
        async with self._folding:
            # Events fetched before a rebalance are read again by the new owner of their partition,
            # from the offset in its state: folding them here, too, would overwrite a newer state.
            generation = self.app.consumer_generation_id
            events, gaps = self._select(
                [event for event in received if event.message.generation_id == generation]
            )
            if events:
                await self._fold_records([_log_record(event) for event in events], meter)
            if gaps:
                seeks = {TP(*partition): self.state.next_offset(partition) for partition in gaps}
                logger.warning(
                    "Faust skipped records; reading them again: %s",
                    ", ".join(
                        f"{tp.topic}/{tp.partition} from {offset}" for tp, offset in seeks.items()
                    ),
                )
                await self.app.consumer.seek_wait(seeks)

    def _select(
        self, events: Sequence[EventT[Any]]
    ) -> tuple[list[EventT[Any]], list[TopicPartition]]:
        """Return the events that continue the state, and the partitions with skipped records."""
        partitions: dict[TopicPartition, list[EventT[Any]]] = defaultdict(list)
        for event in events:
            partitions[event.message.topic, event.message.partition].append(event)
        selected, gaps = list[EventT[Any]](), list[TopicPartition]()
        for partition, batch in partitions.items():
            # A partition that is not taken over yet is read again from the offset in its state.
            if self.state.owns(partition):
                order = take_in_order(
                    self.state.next_offset(partition),
                    [(event.message.offset, previous_offset(event.message)) for event in batch],
                )
                selected += [batch[index] for index in order.taken]
                gaps += [partition] if order.gap else []
        return selected, gaps

    async def _revoked(self, *_args: Any, **_kwargs: Any) -> None:
        """Wait until the in-flight batch is written, before other workers take partitions over."""
        async with self._folding:
            self.state.release()
            self.markers.give_up_all()
            logger.info("In-flight batch flushed before the rebalance")

    async def _fold_records(self, records: list[LogRecord], meter: BatchMeter) -> None:
        meter.received(records)
        for sub_batch in self.markers.split(records):
            self.markers.begin(sub_batch)
            messages = self._outputs(sub_batch)
            self.markers.clear_busy()
            await self._write(sub_batch, messages, meter)
            self.markers.finish(sub_batch)

    def _outputs(self, sub_batch: SubBatch) -> list[Message]:
        records = sub_batch.records
        if sub_batch.rejection is not None:
            return quarantine(STAGE, records[0], sub_batch.rejection, self.counts)
        return check_out_and_handle(self._handler, records, self.bodies, self.counts)

    async def _write(
        self, sub_batch: SubBatch, messages: Sequence[Message], meter: BatchMeter
    ) -> None:
        """Write the changed states and the other outputs, then commit the offsets."""
        offsets = sub_batch.commit_offsets
        states = [message for message in messages if message.topic == LIVE_STATE.name]
        sent = self.state.write(states, offsets, now_ms())
        meter.handled()
        for message in messages:
            if message.topic != LIVE_STATE.name:
                sent.append(await self._send(message))
        await self.app.producer.flush()
        await asyncio.gather(*sent)
        consumer = self.app.consumer
        assert isinstance(consumer, StateOffsetConsumer)
        await consumer.commit_state_offsets(
            {TP(*partition): offset for partition, offset in offsets.items()}
        )
        meter.committed(len(sub_batch.records))

    async def _start_offsets(self, assigned: set[TP]) -> Mapping[TP, int]:
        """Return the start offset of each partition: that of its state, or the one of a day ago."""
        partitions = [(tp.topic, tp.partition) for tp in assigned if tp.topic in LIVE_TOPICS]
        async with self._folding:
            starts = await self.state.take_over(partitions, now_ms() - _HISTORY_MS)
        return {TP(*partition): offset for partition, offset in starts.items()}

    # --- the view and its alerts

    async def _read_changelog(self) -> None:
        while not self.app.should_stop:
            await self.state.read_changelog()

    async def _repair(self) -> None:
        async with self._folding:
            await self.state.repair()

    async def _check_alerts(self) -> None:
        """Raise alerts if this worker is the leader: the owner of the records' first partition."""
        self.meter.heartbeat(STAGE)
        self.view.evict(now_ms())
        leads = TP(RECORDS.name, 0) in self.app.consumer.assignment() and self.state.at_end
        if not (leads and self._leading):
            # Other workers show the alerts of the leader; a new leader continues from them.
            alerts = await asyncio.get_running_loop().run_in_executor(
                None, recent_alerts, self._scan, now_ms()
            )
            self.alerts = AlertMonitor()
            self.alerts.restore(alerts)
        self._leading = leads
        if leads:
            for alert in self.alerts.check(self.view, now_ms()):
                logger.warning("Alert: %s", alert.message, extra={"alert_id": str(alert.alert_id)})
                await (await self._send(alert_message(alert)))

    async def _send(self, message: Message) -> Any:
        headers = {name: value or b"" for name, value in message.headers}
        topic = self.app.topic(message.topic, **_RAW)
        return await topic.send(key=message.key, value=message.value, headers=headers)

    def _web_view(self) -> type[WebView]:
        outer = self

        class Windows(WebView):
            async def get(self, request: Request) -> Response:
                """Return the current windows; `?tenant=` selects those of one tenant."""
                return self.json(
                    outer.build_page(
                        outer.view, outer.alerts, now_ms(), request.query.get("tenant", "")
                    )
                )

        return Windows

    # --- health

    async def _check_parent(self) -> None:
        if self.supervisor_pid and os.getppid() != self.supervisor_pid:
            logger.warning("Supervisor process exited; stopping this worker")
            await self.app.stop()

    def _watchdog(self) -> None:
        """End a worker that makes no progress although it has records to count."""
        before: dict[TopicPartition, int] = {}
        while True:
            time.sleep(_STUCK_S)
            try:
                before = self._check_progress(before)
            except Exception as error:
                logger.warning("Progress cannot be checked, Kafka is unavailable: %r", error)

    def _check_progress(self, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return the next offset of the partitions with unread records; end a stuck process."""
        bounds = offset_bounds(self.broker.admin, LIVE_TOPICS)
        owned = [(tp.topic, tp.partition) for tp in self._assigned() if tp.topic in LIVE_TOPICS]
        counted = self.state.owned_offsets()
        starts = {
            partition: max(counted.get(partition, 0), bounds[partition][0]) for partition in owned
        }
        # Offsets alone prove nothing: transaction markers and aborted records have offsets, too.
        behind = {(record.topic, record.partition) for record in first_records(self.broker, starts)}
        for partition in behind:
            if before.get(partition) == starts[partition]:
                logger.error(
                    "Partition %s/%d made no progress from offset %d for %.0f s; ending the process"
                    " so that the supervisor restarts it",
                    *partition,
                    starts[partition],
                    _STUCK_S,
                )
                os._exit(_EXIT_FAILED)
        return {partition: starts[partition] for partition in behind}

    def _assigned(self) -> set[TP]:
        try:
            return set(self.app.consumer.assignment())
        except Exception:
            # There is no consumer before the start and after the end.
            return set()


_RAW: dict[str, Any] = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
}


def _partitions(broker: Broker) -> int:
    """Return the partition count of the topics of live; Faust needs the same for all of them."""
    topics = (*LIVE_TOPICS, LIVE_STATE.name)
    broker.check_topics(topics)
    counts = {topic: broker.partitions(topic) for topic in topics}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        raise UserError(
            f"the topics of live must have the same number of partitions, but {listed}: run"
            " `switchboard topics apply --grow`"
        )
    return counts[LIVE_STATE.name]


def _log_record(event: EventT[Any]) -> LogRecord:
    message = event.message
    headers = message.headers or ()
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    at_ms, value = round(message.timestamp * 1000), message.value or b""
    return LogRecord(
        message.topic, message.partition, message.offset, at_ms, message.key, value, pairs
    )


def _credentials(security: Mapping[str, str]) -> Any:
    """Return librdkafka's security properties as Faust's credentials; None without security."""
    protocol = security.get("security.protocol", "plaintext")
    context = None
    if protocol.endswith("ssl"):
        context = ssl.create_default_context(cafile=security.get("ssl.ca.location"))
    if protocol.startswith("sasl"):
        return faust.SASLCredentials(
            username=security["sasl.username"],
            password=security["sasl.password"],
            mechanism=security["sasl.mechanism"],
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)
