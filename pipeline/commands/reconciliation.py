"""Reconciliation: read = records + redeliveries + dead letters, for each connector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.ingest.resumable_ingest import parse_checkpoint
from pipeline.log.port import Log
from pipeline.sinks.warehouse import Warehouse, rows

# What these stages reject is in no table, while what converse, live and resolve reject is. A letter
# of collect has one id however often its item is read; the other stages write one for each position
# in the log, so theirs are counted by what makes a delivery. The payload of load is no body of an
# event: it has the time of its arrival.
_DISTINCT_LETTERS = """
SELECT splitByChar('/', connector)[1] AS name, toUInt32(uniqExact(
    if(stage = 'collect', toString(dead_letter_id), ''),
    if(stage = 'collect', '', key),
    if(stage = 'collect', '', locator),
    if(stage = 'enrich', payload_sha256, '')
)) AS letters
FROM dead_letters
WHERE replay_outcome != 'accepted' AND stage IN ('collect', 'enrich', 'load')
GROUP BY name
"""


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the items of one connector; `read` is None for items without a connector.

    An item that is read again counts once, as it has one delivery or one dead letter.
    """

    connector: str
    read: int | None
    records: int
    repeats: int
    dead_letters: int

    @property
    def missing(self) -> int:
        """Items that were read and are nowhere yet: in flight, or lost."""
        return (
            0 if self.read is None else self.read - self.records - self.repeats - self.dead_letters
        )


def accounts(log: Log, warehouse: Warehouse) -> list[Account]:
    """Return one account per connector, by name.

    A label without a record counts as a record: it stays in the dead letters until there is one.
    """
    return accounts_from_counts(items_read(log), warehouse)


def accounts_from_counts(read: Mapping[str, int], warehouse: Warehouse) -> list[Account]:
    """Return the accounts for the numbers of items that connectors have read, by their names."""
    arrived = {
        row["name"]: row
        for row in rows(
            warehouse,
            "SELECT splitByChar('/', connector)[1] AS name, toUInt32(uniqExact(record_id)) AS"
            " records, toUInt32(count()) AS deliveries FROM delivery_rows FINAL GROUP BY name",
        )
    }
    refused = {row["name"]: row["letters"] for row in rows(warehouse, _DISTINCT_LETTERS)}
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
    """Return the number of distinct items that each connector has read, by its checkpoints."""
    counts: Counter[str] = Counter()
    for name, value in log.checkpoints("ingest/"):
        counts[name.split("/")[1]] += parse_checkpoint(name, value).read
    return counts
