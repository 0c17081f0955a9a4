"""One installation on one machine: where its log, bodies, store and models lie, opened as they are needed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.ingest.port import IngestOptions
from pipeline.ingest.publisher import Publisher
from pipeline.runtime.claims import BlobFolder
from pipeline.runtime.sqlite_log import SqliteLog
from pipeline.settings import Settings
from pipeline.sinks.sharing import open_for_reading, open_for_running
from pipeline.sinks.warehouse import Warehouse
from schemas.topics import TOPICS

if TYPE_CHECKING:
    from pipeline.runtime.embedded import EmbeddedHost

# Longer than any record can live in the log: a body older than that has no record left that refers to it.
_BLOB_LIFE_S = max(topic.retention_ms or 0 for topic in TOPICS.values()) / 1000 + 86_400


class Workspace:
    """The data folder of the settings; every part is opened on demand and closed with its `with` block."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._root: Path = settings.data_dir
        self.blobs = BlobFolder(self._root / "bodies")

    @contextmanager
    def log(self) -> Iterator[SqliteLog]:
        """Open the log."""
        log = SqliteLog(self._root / "log.sqlite")
        try:
            yield log
        finally:
            log.close()

    @contextmanager
    def reading(self) -> Iterator[Warehouse]:
        """Open the warehouse for questions, through whoever holds it."""
        warehouse = open_for_reading(self._root)
        try:
            yield warehouse
        finally:
            warehouse.close()

    @contextmanager
    def host(self) -> Iterator[EmbeddedHost]:
        """Open everything that a run needs; raises StoreHeldError where one is running already."""
        # The models compile their loops: a second that only a run needs to spend.
        from pipeline.runtime.embedded import EmbeddedHost

        warehouse = open_for_running(self._root)
        try:
            with self.log() as log:
                log.expire()
                self.blobs.expire(time.time() - _BLOB_LIFE_S)
                identity, snapshot = self.settings.identity(), self._root / "models" / "snapshot"
                host = EmbeddedHost(log, self.blobs, warehouse, identity, snapshot, self.settings.batch_records)
                yield host
                host.close()
        finally:
            warehouse.close()

    @contextmanager
    def publisher(self) -> Iterator[Publisher]:
        """Open a publisher; what it was given is durable when the block ends, in whatever way it ends."""
        with self.log() as log:
            publisher = Publisher(log, self.blobs)
            try:
                yield publisher
            finally:
                publisher.flush()

    def ingest_options(self, source: str | None, own: tuple[str, ...], extra: dict[str, str]) -> IngestOptions:
        """Return what connectors are told: the settings and what was said beside them."""
        settings = self.settings.model_copy(update={"own": (*self.settings.own, *own)})
        return IngestOptions(
            tenant=settings.tenant, source=source, zone=settings.zone, own=settings.own_side, extra=extra
        )
