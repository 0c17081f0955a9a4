"""One installation: opens the log, body store and warehouse that the settings name.

It also builds what the stages need from the settings: identity, heads and service rules.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.identity.contacts import OwnSide, own_placeholders
from pipeline.ingest.port import IngestOptions
from pipeline.ingest.publisher import Publisher
from pipeline.log.claim_check import BodyStore, open_body_store
from pipeline.log.installation_id import open_known_log, verify_secret
from pipeline.log.port import Log
from pipeline.log.sqlite_log import SqliteLog
from pipeline.models.head_files import read_heads
from pipeline.models.heads import HEADS, Head
from pipeline.processors.converse.business_hours import parse_hours
from pipeline.processors.converse.holiday_calendar import calendar_days
from pipeline.processors.converse.service_rules import ServicePromises, ServiceRules
from pipeline.processors.identify import Identity
from pipeline.settings import Settings, SettingsError, parse_zone
from pipeline.sinks.part_ledger import newest_loaded_ms
from pipeline.sinks.query_guard.limits import QuestionLimits
from pipeline.sinks.warehouse import Warehouse
from schemas.topics import TOPICS

if TYPE_CHECKING:
    from pipeline.runtime.kafka.broker import Broker
    from pipeline.sinks.clickhouse import ClickHouseWarehouse


# A day longer than any record lives in the log: no record can refer to a body older than that.
_BODY_RETENTION_S = max(topic.retention_ms or 0 for topic in TOPICS.values()) / 1000 + 86_400

# The size of the HMAC output: a longer key adds nothing, a shorter one is easier to guess.
_SECRET_BYTES = 32


class Workspace:
    """The parts of one installation; each is opened on demand and closed by its `with` block."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root: Path = settings.data_dir
        self.blobs: BodyStore = open_body_store(settings.bodies or str(self.root / "bodies"))

    @property
    def own_side(self) -> OwnSide:
        """The contact points of the company itself."""
        return OwnSide(self.settings.own, self.settings.region)

    def identity(self) -> Identity:
        """Return the context of identification; generates the secret on first use.

        Raises SettingsError if there is no secret and several machines may share the work: each
        would generate other customer ids.
        """
        settings = self.settings
        if settings.distributed and not settings.secret:
            raise SettingsError(
                "secret: with Kafka every machine needs the same secret: set SWITCHBOARD_SECRET to"
                " 16 characters or more, and keep it"
            )
        secret = settings.secret.encode() if settings.secret else _load_secret(self.root / "secret")
        return Identity(
            secret,
            self.own_side,
            settings.region,
            own_placeholders(settings.placeholder_contacts, settings.region),
        )

    def heads(self) -> tuple[Head, ...]:
        """Return the built-in heads and those of the file `heads`; raises HeadsError."""
        return read_heads(self.settings.heads) if self.settings.heads else HEADS

    def service_rules(self) -> ServiceRules:
        """Return business hours, promised response times and bots; without a zone, in UTC."""
        settings = self.settings
        zone = settings.zone or parse_zone("UTC")
        hours = (
            parse_hours(settings.business_hours, zone, *_exceptional_days(settings))
            if settings.business_hours
            else None
        )
        promises = ServicePromises(
            _seconds(settings.first_response_minutes), _seconds(settings.next_response_minutes)
        )
        return ServiceRules(hours, promises, zone, frozenset(map(str.casefold, settings.bots)))

    def expire_bodies(self) -> None:
        """Delete the bodies that no record can refer to anymore."""
        self.blobs.expire(time.time() - _BODY_RETENTION_S)

    def broker(self) -> Broker:
        """Return the address and credentials of Kafka; raises UserError without Kafka."""
        from pipeline.runtime.kafka.broker import Broker

        if self.settings.broker is None:
            raise UserError(
                "this command needs Kafka: set SWITCHBOARD_BROKER and SWITCHBOARD_WAREHOUSE, or use"
                " `switchboard run`, which runs all stages on one machine"
            )
        return Broker(self.settings.broker, kafka_security(self.settings))

    @contextmanager
    def open_log(self) -> Iterator[Log]:
        """Open the log: Kafka if the settings name it, else the embedded log."""
        log = self._kafka_log() if self.settings.distributed else self.open_sqlite_log()
        try:
            yield log
        finally:
            log.close()

    def open_sqlite_log(self) -> SqliteLog:
        """Return the embedded log; raises FileDamagedError if it is not the one of this folder."""
        return open_known_log(self.root, newest_loaded_ms(self.root))

    def _kafka_log(self) -> Log:
        from pipeline.runtime.kafka.kafka_log import KafkaLog

        return KafkaLog(self.broker(), self.root, self.settings.spool_bytes)

    @contextmanager
    def open_warehouse(self) -> Iterator[Warehouse]:
        """Open the warehouse for queries: the server, or the embedded store."""
        warehouse = self.connect_clickhouse() if self.settings.distributed else self._store()
        try:
            yield warehouse
        finally:
            warehouse.close()

    def question_limits(self) -> QuestionLimits:
        """Return the limits of a question that a person asks."""
        settings = self.settings
        return QuestionLimits(
            seconds=settings.question_seconds,
            memory_bytes=settings.question_memory_bytes,
            rows=settings.question_rows,
            bytes=settings.question_bytes,
        )

    def _store(self) -> Warehouse:
        from pipeline.sinks.store_server import open_for_reading

        return open_for_reading(self.root)

    def connect_clickhouse(self) -> ClickHouseWarehouse:
        """Connect to the ClickHouse server of the settings."""
        from pipeline.sinks.clickhouse import ClickHouseWarehouse

        assert self.settings.warehouse is not None
        return ClickHouseWarehouse(self.settings.warehouse.get_secret_value())

    @contextmanager
    def open_publisher(self) -> Iterator[Publisher]:
        """Open a publisher; all published messages are durable at the end of the block."""
        with self.open_log() as log:
            publisher = Publisher(log, self.blobs)
            try:
                yield publisher
            finally:
                publisher.flush()

    def ingest_options(
        self, source: str | None, own: tuple[str, ...], extra: dict[str, str]
    ) -> IngestOptions:
        """Return the options of a connector: the settings and those of the command line."""
        settings = self.settings
        return IngestOptions(
            tenant=settings.tenant,
            source=source,
            zone=settings.zone,
            own=OwnSide((*settings.own, *own), settings.region),
            extra=extra,
        )


def kafka_security(settings: Settings) -> dict[str, str]:
    """Return the security properties of librdkafka.

    https://github.com/confluentinc/librdkafka/wiki/Using-SASL-with-librdkafka

    >>> kafka_security(Settings())
    {'security.protocol': 'plaintext'}
    """
    properties: dict[str, str] = {"security.protocol": settings.broker_security}
    if (
        settings.broker_security.startswith("sasl")
        and settings.broker_user
        and settings.broker_password
    ):
        properties |= {
            "sasl.mechanism": settings.broker_sasl,
            "sasl.username": settings.broker_user,
            "sasl.password": settings.broker_password.get_secret_value(),
        }
    if settings.broker_ca is not None:
        properties["ssl.ca.location"] = str(settings.broker_ca)
    return properties


def _exceptional_days(settings: Settings) -> tuple[frozenset[date], frozenset[date]]:
    """Return the closed days and the extra working days: those of the calendar and of the settings.

    The days that the settings name override the calendar.
    """
    closed, working = frozenset(settings.holidays), frozenset(settings.working_days)
    if settings.holiday_calendar is None:
        return closed, working
    calendar = calendar_days(settings.holiday_calendar)
    return (calendar.holidays - working) | closed, (calendar.working_days - closed) | working


def _seconds(minutes: dict[str, float | None]) -> dict[str, float | None]:
    return {channel: None if value is None else value * 60 for channel, value in minutes.items()}


def _load_secret(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        verify_secret(path.parent, None)
        _generate_secret(path)
    secret = path.read_bytes()
    if len(secret) < _SECRET_BYTES:
        raise SettingsError(
            f"{path} is damaged: restore it from a backup, because customer ids depend on it"
        )
    verify_secret(path.parent, secret)
    return secret


def _generate_secret(path: Path) -> None:
    """Write a new secret atomically; keep the existing one if another process was first."""
    with tempfile.NamedTemporaryFile(dir=path.parent) as part:
        part.write(secrets.token_bytes(_SECRET_BYTES))
        part.flush()
        os.fsync(part.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(part.name, path)
