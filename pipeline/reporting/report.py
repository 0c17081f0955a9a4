"""Writes the report: one self-contained HTML page for a period, in an explicit time zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from pipeline.errors import UserError
from pipeline.models.heads import HEADS
from pipeline.reporting.charts import PALETTE, bars, columns_by_day
from pipeline.reporting.html_pages import render
from pipeline.reporting.report_queries import CHART_QUERIES, TABLE_SECTIONS
from pipeline.sinks.warehouse import Warehouse, rows

Rows = Sequence[Mapping[str, Any]]

# Labels of a built-in head that form a scale, in its order. Others are sorted by frequency.
_SCALES = {head.name: list(head.labels) for head in HEADS if not head.combinable}
_IN_TABLE_ORDER = [head.name for head in HEADS]


class PeriodError(UserError, ValueError):
    """A day of a period is invalid; the message has the format."""


@dataclass(frozen=True, slots=True)
class Period:
    """First and last day of a report, inclusive, in a time zone; None means unbounded."""

    zone: str
    first: date | None = None
    last: date | None = None

    @classmethod
    def of(cls, since: str | None, until: str | None, zone: str) -> Period:
        """Return the period between two days; raises PeriodError.

        >>> Period.of("2026-08-01", None, "Asia/Shanghai").parameters["start"]
        '2026-07-31 16:00:00'
        """
        try:
            first, last = (date.fromisoformat(day) if day else None for day in (since, until))
        except ValueError as error:
            raise PeriodError(f"{error}: write a day as 2026-08-01") from error
        if first and last and last < first:
            raise PeriodError(f"--until {last} is before --since {first}")
        return cls(zone, first, last)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the queries: the time zone, the start and the exclusive end in UTC."""
        zone = ZoneInfo(self.zone)
        start = (
            datetime.combine(self.first, datetime.min.time(), zone)
            if self.first
            else datetime(1970, 1, 1, tzinfo=UTC)
        )
        end = (
            datetime.combine(self.last + timedelta(days=1), datetime.min.time(), zone)
            if self.last
            else datetime(2200, 1, 1, tzinfo=UTC)
        )
        form = "%Y-%m-%d %H:%M:%S"
        return {
            "zone": self.zone,
            "start": f"{start.astimezone(UTC):{form}}",
            "end": f"{end.astimezone(UTC):{form}}",
        }


def write_report(warehouse: Warehouse, out: Path, period: Period) -> Path:
    """Write the report and return its absolute path; raises OSError if it cannot be written."""
    results = {
        name: rows(warehouse, sql, **period.parameters) for name, sql in CHART_QUERIES.items()
    }
    tables = [
        (section, rows(warehouse, section.sql, **period.parameters)) for section in TABLE_SECTIONS
    ]
    page = render(
        "report.html",
        **_charts(results),
        tables=tables,
        period=period,
        written_at=datetime.now(UTC),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, "utf-8")
    return out.resolve()


def _charts(results: Mapping[str, Rows]) -> dict[str, Any]:
    (totals,), (ratings,) = results["totals"], results["ratings"]
    by_channel: Counter[str] = Counter()
    for row in results["volume"]:
        by_channel[row["channel"]] += int(row["records"])
    channels = sorted(by_channel, key=lambda channel: (-by_channel[channel], channel))
    colours = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(channels)}
    return {
        "totals": totals,
        "legend": [(name, colours[name], by_channel[name]) for name in channels],
        "volume": columns_by_day(_by_day(results["volume"], channels), colours),
        "heads": [
            (head.replace("_", " "), bars(_bar_rows(_by_label(head, answers), "answer")))
            for head, answers in _by_head(results["heads"])
        ],
        "ratings": ratings,
    }


def _by_head(answers: Rows) -> list[tuple[str, Rows]]:
    """Return the answers of each head: built-in heads in the order of their table, then others."""
    by_head = {head: list(rows) for head, rows in groupby(answers, itemgetter("head"))}
    known = [head for head in _IN_TABLE_ORDER if head in by_head]
    return [(head, by_head[head]) for head in dict.fromkeys((*known, *by_head))]


def _by_label(head: str, answers: Rows) -> Rows:
    scale = _SCALES.get(head, [])
    places = {label: index for index, label in enumerate(scale)}
    return sorted(answers, key=lambda row: places.get(row["answer"], len(scale)))


def _by_day(volume: Rows, channels: Sequence[str]) -> pd.DataFrame:
    if not volume:
        return pd.DataFrame()
    frame = pd.DataFrame(volume).pivot_table(
        index="day", columns="channel", values="records", fill_value=0
    )
    frame.index = pd.to_datetime(frame.index)
    return frame[list(channels)]


def _bar_rows(result: Rows, name: str) -> list[tuple[str, float, str]]:
    total = sum(int(row["records"]) for row in result)
    return [
        (
            row[name].replace("_", " "),
            float(row["records"]),
            _bar_label(int(row["records"]), int(row["unsure"]), total),
        )
        for row in result
    ]


def _bar_label(count: int, unsure: int, total: int) -> str:
    """Return the text behind a bar.

    >>> _bar_label(3, 1, 12)
    '3 (25%, 1 below threshold)'
    """
    return f"{count} ({count / total:.0%}{f', {unsure} below threshold' if unsure else ''})"
