"""The report: one self-contained HTML page of a period, in an explicit time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from pipeline.errors import UserError
from pipeline.reporting.charts import PALETTE, bars, columns_by_day
from pipeline.reporting.html_pages import render
from pipeline.reporting.report_queries import SECTIONS
from pipeline.sinks.warehouse import Warehouse

_SENTIMENTS = ("very_positive", "positive", "neutral", "negative", "very_negative")


class PeriodError(UserError, ValueError):
    """A day of a period is wrong; the message says how a day is written."""


@dataclass(frozen=True, slots=True)
class Period:
    """The days of a report, both included, in a zone; None leaves that end open."""

    zone: str
    first: date | None = None
    last: date | None = None

    @classmethod
    def of(cls, since: str | None, until: str | None, zone: str) -> Period:
        """Return the period between two days written as 2026-08-01; raises PeriodError."""
        try:
            first, last = (date.fromisoformat(day) if day else None for day in (since, until))
        except ValueError as error:
            raise PeriodError(f"{error}: write a day as 2026-08-01") from error
        if first and last and last < first:
            raise PeriodError(f"--until {last} is before --since {first}")
        return cls(zone, first, last)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the queries need: the zone and the instants, from inclusive to exclusive, UTC."""
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
    """Write the page and return its absolute path; raises OSError where the file can't be
    written.
    """
    frames = {name: _frame(warehouse, sql, period) for name, sql in SECTIONS.items()}
    page = render("report.html", **_sections(frames), period=period, made=datetime.now(UTC))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, "utf-8")
    return out.resolve()


def _frame(warehouse: Warehouse, sql: str, period: Period) -> pd.DataFrame:
    answer = warehouse.query(sql, period.parameters, "Parquet")
    return pd.read_parquet(BytesIO(answer))


def _sections(frames: dict[str, pd.DataFrame]) -> dict[str, Any]:
    volume = frames["volume"]
    channels = [
        str(name)
        for name in volume.groupby("channel")["records"].sum().sort_values(ascending=False).index
    ]
    colours = {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(channels)}
    by_day = volume.pivot_table(index="day", columns="channel", values="records", fill_value=0)
    by_day.index = pd.to_datetime(by_day.index)
    sentiment = (
        frames["sentiment"].set_index("sentiment").reindex(_SENTIMENTS).dropna().reset_index()
    )
    return {
        "totals": _records(frames["totals"])[0],
        "legend": [
            (name, colours[name], int(volume[volume["channel"] == name]["records"].sum()))
            for name in channels
        ],
        "volume": columns_by_day(by_day[channels], colours),
        "needs": bars(_bar_rows(frames["needs"], "need")),
        "sentiment": bars(_bar_rows(sentiment, "sentiment"), PALETTE[2]),
        "own_heads": [
            (str(head).replace("_", " "), bars(_bar_rows(rows, "answer")))
            for head, rows in frames["own_heads"].groupby("head")
        ],
        "customers": _records(frames["customers"]),
        "complaints": _records(frames["complaints"]),
        "ratings": _records(frames["ratings"])[0],
        "flags": _records(frames["flags"]),
        "dead_letters": _records(frames["dead_letters"]),
        "models": _records(frames["models"]),
    }


def _bar_rows(frame: pd.DataFrame, name: str) -> list[tuple[str, float, str]]:
    total = int(frame["records"].sum())
    return [
        (
            str(row[name]).replace("_", " "),
            float(row["records"]),
            _words(int(row["records"]), int(row["unsure"]), total),
        )
        for row in _records(frame)
    ]


def _words(count: int, unsure: int, total: int) -> str:
    return f"{count} ({count / total:.0%}{f', {unsure} unsure' if unsure else ''})"


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
