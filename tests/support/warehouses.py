"""What tests of both warehouses share: blocks of rows, a server's databases, log records as enrich
makes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from pipeline.envelope import encode_event, validate_data
from pipeline.identity.contacts import OwnSide
from pipeline.log.contract_messages import encode_contract
from pipeline.log.port import LogRecord, Message
from pipeline.models.replica import Replica
from pipeline.outcomes import Reject
from pipeline.processors.identify import Identity
from pipeline.runtime.stages import enrich_handler
from pipeline.sinks.clickhouse import ClickHouseWarehouse
from pipeline.sinks.migrations import migrate
from pipeline.sinks.warehouse import Columns
from schemas.envelope import Event
from schemas.types import Contract
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.events import make_events

NOW = datetime(2026, 11, 1, 10, 0, 0, 123000, tzinfo=UTC)
NOW_MS = 1_793_527_200_123
_DATABASES = count(1)


def block(*rows: dict[str, Any]) -> Columns:
    """Return rows as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def fresh_url(server: ClickHouseServer, port: int = 0, options: str = "") -> str:
    """Return the address of an unused database, with further options such as `&verify=0`."""
    return server.url_for(database=f"test_{next(_DATABASES)}", port=port) + options


def fresh_warehouse(server: ClickHouseServer) -> ClickHouseWarehouse:
    """Return a migrated warehouse in a database of its own."""
    warehouse = ClickHouseWarehouse(fresh_url(server))
    migrate(warehouse)
    return warehouse


def logged(messages: Iterable[Message]) -> list[LogRecord]:
    """Return messages as the log gives them back, all at one instant."""
    return [
        LogRecord(message.topic, 0, offset, NOW_MS, message.key, message.value, message.headers)
        for offset, message in enumerate(messages)
    ]


def carried(topic: str, *contracts: Contract) -> list[LogRecord]:
    """Return the records of a derived topic that carry contracts of ours."""
    return logged(encode_contract(topic, "key", contract) for contract in contracts)


def enriched(events: int, seed: int = 1) -> list[LogRecord]:
    """Return what enrich makes of events of all kinds, as the log gives it to load."""
    models = Replica().classifier()
    enrich = enrich_handler(
        Identity(b"tests", OwnSide(("shop.example.com",))), lambda: models, lambda: NOW
    )
    raw = []
    for told in make_events(events, seed):
        event = Event.model_validate(told)
        data = validate_data(event)
        if isinstance(data, Reject):
            raise AssertionError(f"an event of the tests is refused: {data}")
        raw.append(encode_event(event, data))
    return logged(enrich.handle(logged(raw)))
