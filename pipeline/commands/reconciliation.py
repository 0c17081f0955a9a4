"""Accounts: whether everything that was read is somewhere. read = records + repeats + dead letters,
for each connector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from pipeline.log.port import Lag, Log
from pipeline.runtime.stages import STAGES
from pipeline.sinks.warehouse import Warehouse, rows


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the items of one connector; `read` is None for what was published without
    one.
    """

    connector: str
    read: int | None
    records: int
    repeats: int
    dead_letters: int

    @property
    def missing(self) -> int:
        """Items read and not yet anywhere: on their way, or lost."""
        return (
            0 if self.read is None else self.read - self.records - self.repeats - self.dead_letters
        )


def accounts(log: Log, warehouse: Warehouse) -> list[Account]:
    """Return one account a connector, by name. A label that finds no record is one all the same: it
    waits in the dead letters.
    """
    return accounts_of(items_read(log), warehouse)


def accounts_of(read: Mapping[str, int], warehouse: Warehouse) -> list[Account]:
    """Return the accounts of what connectors have read, by their names."""
    arrived = {
        row["name"]: row
        for row in rows(
            warehouse,
            "SELECT splitByChar('/', connector)[1] AS name, toUInt32(uniqExact(record_id)) AS"
            " records, toUInt32(count()) AS deliveries FROM delivery_rows FINAL GROUP BY name",
        )
    }
    refused = {
        row["name"]: row["letters"]
        for row in rows(
            warehouse,
            "SELECT splitByChar('/', connector)[1] AS name, toUInt32(count()) AS letters FROM"
            " dead_letters WHERE replay_outcome != 'accepted' AND stage != 'resolve' GROUP BY name",
        )
    }
    return [
        Account(
            connector=name or "(published)",
            read=read.get(name),
            records=(here := arrived.get(name, {"records": 0, "deliveries": 0}))["records"],
            repeats=here["deliveries"] - here["records"],
            dead_letters=refused.get(name, 0),
        )
        for name in sorted({*read, *arrived, *refused})
    ]


def items_read(log: Log) -> Counter[str]:
    """Return how many items each connector's checkpoints count."""
    counts: Counter[str] = Counter()
    for name, value in log.checkpoints("ingest/"):
        counts[name.split("/")[1]] += orjson.loads(value)["items"]
    return counts


def lags(log: Log, now_ms: int) -> list[Lag]:
    """Return how far each stage is behind on each of its topics."""
    return [lag for stage, topics in STAGES.items() for lag in log.lag(stage, topics, now_ms)]
