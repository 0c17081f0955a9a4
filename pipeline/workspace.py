"""One installation: where its log, bodies, store and models lie, on this machine or on servers,
opened as they are needed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.ingest.port import IngestOptions
from pipeline.ingest.publisher import Publisher
from pipeline.log.claim_check import Blobs, blobs_at
from pipeline.log.port import Log
from pipeline.log.sqlite_log import SqliteLog
from pipeline.settings import Settings
from pipeline.sinks.warehouse import Warehouse
from schemas.topics import TOPICS

if TYPE_CHECKING:
    from pipeline.runtime.kafka.broker import Broker
    from pipeline.sinks.clickhouse import ClickHouseWarehouse


# Longer than any record can live in the log: a body older than that has no record left that refers
# to it.
_BODY_LIFE_S = max(topic.retention_ms or 0 for topic in TOPICS.values()) / 1000 + 86_400


class Workspace:
    """What the settings name; every part is opened on demand and closed with its `with` block."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root: Path = settings.data_dir
        self.blobs: Blobs = blobs_at(settings.bodies or str(self.root / "bodies"))

    def expire_bodies(self) -> None:
        """Delete the bodies that no record can refer to any more."""
        self.blobs.expire(time.time() - _BODY_LIFE_S)

    def broker(self) -> Broker:
        """Return how Kafka is reached; raises UserError where the settings name none."""
        from pipeline.runtime.kafka.broker import Broker

        if self.settings.broker is None:
            raise UserError(
                "this needs Kafka: set SWITCHBOARD_BROKER and SWITCHBOARD_WAREHOUSE; on one machine"
                " `switchboard run` does it all"
            )
        return Broker(self.settings.broker, self.settings.broker_properties)

    @contextmanager
    def log(self) -> Iterator[Log]:
        """Open the log: Kafka where the settings name it, else the file."""
        log = self._kafka_log() if self.settings.distributed else self.sqlite_log()
        try:
            yield log
        finally:
            log.close()

    def sqlite_log(self) -> SqliteLog:
        """Return the embedded log."""
        return SqliteLog(self.root / "log.sqlite")

    def _kafka_log(self) -> Log:
        from pipeline.runtime.kafka.kafka_log import KafkaLog

        return KafkaLog(self.broker(), self.root, self.settings.spool_bytes)

    @contextmanager
    def reading(self) -> Iterator[Warehouse]:
        """Open the warehouse for questions: the server, or the store through whoever holds it."""
        warehouse = self.server() if self.settings.distributed else self._store()
        try:
            yield warehouse
        finally:
            warehouse.close()

    def _store(self) -> Warehouse:
        from pipeline.sinks.store_server import open_for_reading

        return open_for_reading(self.root)

    def server(self) -> ClickHouseWarehouse:
        """Return the ClickHouse server of the settings."""
        from pipeline.sinks.clickhouse import ClickHouseWarehouse

        assert self.settings.warehouse is not None
        return ClickHouseWarehouse(self.settings.warehouse.get_secret_value())

    @contextmanager
    def publisher(self) -> Iterator[Publisher]:
        """Open a publisher; what it was given is durable when the block ends, in whatever way it
        ends.
        """
        with self.log() as log:
            publisher = Publisher(log, self.blobs)
            try:
                yield publisher
            finally:
                publisher.flush()

    def ingest_options(
        self, source: str | None, own: tuple[str, ...], extra: dict[str, str]
    ) -> IngestOptions:
        """Return what connectors are told: the settings and what was said beside them."""
        settings = self.settings.model_copy(update={"own": (*self.settings.own, *own)})
        return IngestOptions(
            tenant=settings.tenant,
            source=source,
            zone=settings.zone,
            own=settings.own_side,
            extra=extra,
        )
