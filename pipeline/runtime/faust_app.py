"""The faust host of live: an agent that folds panes into a Table, alerts by one leader, and the
windows as JSON on a web view.

What DESIGN §4 found Faust to lose is not lost here: no exception leaves the agent, every write is
acknowledged before an iteration ends, and where partitions move, reading goes on from what the
Table counts (faust_driver.py, docs/adr/0012).
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

# The alerts load it when they first need it; in an event loop that would be seconds without a
# heartbeat.
import river.drift  # noqa: F401
from faust.types import TP, EventT
from faust.web import Request, Response
from faust.web import View as WebView
from yarl import URL

from pipeline.errors import UserError
from pipeline.log.port import LogRecord, Message, TopicPartition, now_ms
from pipeline.metrics import Meter, Stopwatch
from pipeline.processors.live.alerts import Watch
from pipeline.processors.live.live_fold import fold
from pipeline.processors.live.view import View
from pipeline.runtime.faust_driver import CountedConsumer, after, transport
from pipeline.runtime.faust_state import FollowedTable, LiveState
from pipeline.runtime.gap_detection import continued
from pipeline.runtime.kafka.broker import Broker
from pipeline.runtime.kafka.topic_scan import KafkaScan, first_records, log_ends
from pipeline.runtime.live_handler import alert_message, recent_alerts, sightings
from pipeline.runtime.stages import LIVE_TOPICS
from schemas.topics import LIVE_STATE, RECORDS

logger = logging.getLogger(__name__)
# It warns whenever a hundred messages are on their way; waiting for them is what a batch's end is
# for.
logging.getLogger("faust.transport.producer").setLevel(logging.ERROR)

STAGE = "live"
# A batch is what came within half a second: a record is in its windows within a second, and a pane
# is written twice a second, not once for every record.
_TAKE, _WITHIN_S = 1_000, 0.5
# A spike must be told within a minute; looking costs some tens of milliseconds.
_LOOK_S = 5.0
# How long a wrong count may stand, twice; comparing some thousand states takes milliseconds.
_MEND_S = 5.0
# Faust's own default, which it wants to know even where nothing is served.
_FAUST_PORT = 6066
# Two missed heartbeats of three are no death; one that is dead is missed after this long.
_SESSION_S, _HEARTBEAT_S = 10.0, 3.0
# A worker that had records to count for so long and counted none is stuck (Faust's own issues tell
# of "consumers slowly die").
_STUCK_S = 30.0
# A member that dies while its group finds together is waited for so long, each time; Faust's
# default is a minute.
_REBALANCE_S = 15.0
# sysexits.h, EX_SOFTWARE: start again.
_BROKEN = 70
# Records older than the largest window change nothing; a first start reads the log from then on.
_HISTORY_MS = 25 * 3_600_000


@dataclass
class LiveApp:
    """Everything of one live worker; `app` is what Faust runs."""

    broker: Broker
    folder: Path
    web_host: str
    web_port: int | None
    meter: Meter
    page: Callable[[View, Watch, int, str], Mapping[str, Any]]
    parent: int = 0
    view: View = field(default_factory=View)
    watch: Watch = field(default_factory=Watch)
    counts: Counter[str] = field(default_factory=Counter)
    _leading: bool = False
    _inbox: asyncio.Queue[EventT[Any]] = field(default_factory=lambda: asyncio.Queue(2 * _TAKE))
    _folding: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._partitions = _partitions(self.broker)
        self._scan = KafkaScan(self.broker)
        self.app = self._made()
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
        self.app.agent(self._topic, concurrency=1, name="live")(self._receive)
        self.app.task(self._fold)
        self.app.task(self._follow)
        self.app.timer(_LOOK_S)(self._look)
        self.app.timer(1.0)(self._alive)
        self.app.timer(_MEND_S)(self._mend)
        self.app.on_partitions_revoked.connect(self._revoked)
        self.app.page("/live")(self._web_view())
        threading.Thread(target=self._watch_over, name="watchdog", daemon=True).start()

    def _made(self) -> faust.App:
        url = URL(f"kafka://{self.broker.servers.replace(',', ';kafka://')}")
        app = faust.App(
            STAGE,
            broker=[URL(f"kafka://{server}") for server in self.broker.servers.split(",")],
            broker_credentials=_credentials(self.broker.security),
            broker_session_timeout=_SESSION_S,
            broker_heartbeat_interval=_HEARTBEAT_S,
            broker_rebalance_timeout=_REBALANCE_S,
            consumer_auto_offset_reset="earliest",
            # Topics are `topics apply`'s business.
            topic_allow_declare=False,
            topic_disable_leader=True,
            store="memory://",
            Table=FollowedTable,
            # The state of a day is read from its topic in a second; a copy kept warm would follow
            # every write for that second.
            table_standby_replicas=0,
            datadir=str(self.folder / "faust"),
            # No view but ours: Faust's own show internals.
            web_enabled=self.web_port is not None,
            web_bind=self.web_host,
            web_host=self.web_host,
            web_port=self.web_port or _FAUST_PORT,
            worker_redirect_stdouts=False,
            stream_wait_empty=False,
        )
        app.transport = transport(app, url, self._starts)
        return app

    # --- folding

    async def _receive(self, stream: Any) -> None:
        # Not by `take_events`: an event that comes while a batch ends can be cleared with it, seen
        # once in some thousand under load.
        async for event in stream.noack().events():
            await self._inbox.put(event)

    async def _fold(self) -> None:
        while not self.app.should_stop:
            events = [await self._inbox.get()]
            if self._inbox.qsize() < _TAKE:
                await asyncio.sleep(_WITHIN_S)
            while len(events) < _TAKE and not self._inbox.empty():
                events.append(self._inbox.get_nowait())
            try:
                await self._batch(events)
            except Exception:
                # Left to Faust, the exception would be logged and the batch acknowledged.
                logger.exception("live ends, and starts again from what its state counts")
                os._exit(_BROKEN)

    async def _batch(self, taken: Sequence[EventT[Any]]) -> None:
        async with self._folding:
            # What was fetched before partitions moved is given again by whoever has them now, from
            # what the state counts: to fold it here too would put a state that is behind over one
            # that is not.
            generation = self.app.consumer_generation_id
            events, broken = self._next(
                [event for event in taken if event.message.generation_id == generation]
            )
            if events:
                await self._folded(events)
            if broken:
                again = {TP(*lane): self.state.expected(lane) for lane in broken}
                told = ", ".join(
                    f"{tp.topic}/{tp.partition} from {offset}" for tp, offset in again.items()
                )
                logger.warning("Faust left records out, which are read again: %s", told)
                await self.app.consumer.seek_wait(again)

    def _next(
        self, events: Sequence[EventT[Any]]
    ) -> tuple[list[EventT[Any]], list[TopicPartition]]:
        """Return the events that go on from what is counted, and the partitions where one before an
        event was left out.
        """
        lanes: dict[TopicPartition, list[EventT[Any]]] = defaultdict(list)
        for event in events:
            lanes[event.message.topic, event.message.partition].append(event)
        next_, broken = list[EventT[Any]](), list[TopicPartition]()
        for lane, given in lanes.items():
            # Of a partition that is not taken over yet, everything is given again.
            if self.state.holds(lane):
                places = [(event.message.offset, after(event.message)) for event in given]
                found = continued(self.state.expected(lane), places)
                next_ += [given[index] for index in found.taken]
                broken += [lane] if found.broken else []
        return next_, broken

    async def _revoked(self, *_args: Any, **_kwargs: Any) -> None:
        """Let the batch in hand be written before anybody else takes its partitions over."""
        async with self._folding:
            self.state.give_up()
            logger.info("nothing is in hand")

    async def _folded(self, events: Sequence[EventT[Any]]) -> None:
        clock, now = Stopwatch(), now_ms()
        records = [_log_record(event) for event in events]
        self.meter.held(STAGE, min(record.timestamp_ms for record in records))
        found = sightings(records)
        sent = []
        for lane, seen in found.lanes.items():
            changed = fold(lane[1], lane[0], seen, self.state.stored, now)
            last = max(
                record.offset for record in records if (record.topic, record.partition) == lane
            )
            sent += self.state.change(lane, changed, last + 1, now)
        clock.lap("handle")
        for message in found.refused:
            sent.append(await self._send(message))
        await self.app.producer.flush()
        await asyncio.gather(*sent)
        consumer = self.app.consumer
        assert isinstance(consumer, CountedConsumer)
        await consumer.commit_counted(
            {TP(*lane): self.state.expected(lane) for lane in found.lanes}
        )
        clock.lap("commit")
        self.counts.update(found.counts)
        self.meter.turned(STAGE)
        self.meter.batch(STAGE, len(records), clock.taken(), {})

    async def _starts(self, assigned: set[TP]) -> Mapping[TP, int]:
        """Return where to read each partition on: after what the state counts, or from a day ago
        where it counts nothing yet.
        """
        lanes = [(tp.topic, tp.partition) for tp in assigned if tp.topic in LIVE_TOPICS]
        async with self._folding:
            starts = await self.state.take_over(lanes, now_ms() - _HISTORY_MS)
        return {TP(*lane): offset for lane, offset in starts.items()}

    # --- seeing

    async def _follow(self) -> None:
        while not self.app.should_stop:
            await self.state.follow()

    async def _mend(self) -> None:
        async with self._folding:
            await self.state.mend()

    async def _look(self) -> None:
        """Be the one that raises alerts, where this worker has the first partition of the
        records.
        """
        self.meter.turned(STAGE)
        self.view.forget(now_ms())
        leads = TP(RECORDS.name, 0) in self.app.consumer.assignment() and self.state.caught_up
        if not (leads and self._leading):
            # Those who do not lead show what the leader told; who begins to lead goes on from it.
            told = await asyncio.get_running_loop().run_in_executor(
                None, recent_alerts, self._scan, now_ms()
            )
            self.watch = Watch()
            self.watch.recall(told)
        self._leading = leads
        if leads:
            for alert in self.watch.look(self.view, now_ms()):
                logger.warning("alert: %s", alert.message, extra={"alert_id": str(alert.alert_id)})
                await (await self._send(alert_message(alert)))

    async def _send(self, message: Message) -> Any:
        headers = {name: value or b"" for name, value in message.headers}
        topic = self.app.topic(message.topic, **_RAW)
        return await topic.send(key=message.key, value=message.value, headers=headers)

    def _web_view(self) -> type[WebView]:
        outer = self

        class Windows(WebView):
            async def get(self, request: Request) -> Response:
                """Return the windows as they are now; `?tenant=` for one tenant's."""
                return self.json(
                    outer.page(outer.view, outer.watch, now_ms(), request.query.get("tenant", ""))
                )

        return Windows

    # --- staying alive

    async def _alive(self) -> None:
        if self.parent and os.getppid() != self.parent:
            logger.warning("the keeper is gone")
            await self.app.stop()

    def _watch_over(self) -> None:
        """End a worker that has had records to count all along and counted none."""
        before: dict[TopicPartition, int] = {}
        while True:
            time.sleep(_STUCK_S)
            try:
                before = self._still_behind(before)
            except Exception as error:
                logger.warning("the log is not to be had: %r", error)

    def _still_behind(self, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return the partitions of this worker that have a record to count, and from which offset
        on; ends it where one stands still.
        """
        ends = log_ends(self.broker.admin, LIVE_TOPICS)
        held = [(tp.topic, tp.partition) for tp in self._assigned() if tp.topic in LIVE_TOPICS]
        counted = self.state.held()
        starts = {place: max(counted.get(place, 0), ends[place][0]) for place in held}
        # Offsets alone do not tell: marks and records of aborted transactions have some too.
        behind = {(record.topic, record.partition) for record in first_records(self.broker, starts)}
        for place in behind:
            if before.get(place) == starts[place]:
                logger.error(
                    "%s/%d has stood still at %d for %.0f s", *place, starts[place], _STUCK_S
                )
                os._exit(_BROKEN)
        return {place: starts[place] for place in behind}

    def _assigned(self) -> set[TP]:
        try:
            return set(self.app.consumer.assignment())
        except Exception:
            # No consumer yet, or none any more.
            return set()


_RAW: dict[str, Any] = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
}


def _partitions(broker: Broker) -> int:
    """Return how many partitions the topics of live have: Faust reads them, and keeps the state,
    partition by partition.
    """
    topics = (*LIVE_TOPICS, LIVE_STATE.name)
    broker.check_topics(topics)
    counts = {topic: broker.partitions(topic) for topic in topics}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        raise UserError(
            f"live needs as many partitions of each of its topics: {told}; see `switchboard topics"
            " apply --grow`"
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
    """Return librdkafka's security properties in Faust's words; None for a broker that asks for
    none.
    """
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
