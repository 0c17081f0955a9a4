"""Alerts: what was found, told once, with its evidence, until it is over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from pipeline.processors.live.observations import BUSINESS, INBOUND
from pipeline.processors.live.spikes import Finding, Levels, denominator, spikes
from pipeline.processors.live.view import View
from schemas.envelope import stable_id
from schemas.live import Alert

# A spike is over when nothing of it has been found for ten minutes, twice its larger window;
# sooner, and a flood that pauses is two.
_SPIKE_OVER_MS: Final = 600_000
# A new level is the level once the day has seen nothing else.
_LEVEL_OVER_MS: Final = 86_400_000
# What a spike brought the hour has not forgotten when it is over: a level that changed with it is
# not told as another alert.
_AFTERMATH_MS: Final = 2 * 3_600_000
# Told again when it is twice what was told last: a person who knows of forty wants to know of
# eighty.
_GROWN: Final = 2
# Enough to read what it is about.
_EVIDENCE: Final = 20


@dataclass
class _Open:
    """An alert that is not long over, and the records that were found with it."""

    alert: Alert
    last_ms: int
    records: set[str] = field(default_factory=set)


class Watch:
    """Looks at a view now and then; its memory is the alerts it told, so that another one can take
    over from those (`recall`).
    """

    def __init__(self) -> None:
        self._open: dict[UUID, _Open] = {}
        self._levels = Levels()

    def recall(self, told: Iterable[Alert]) -> None:
        """Take over alerts that were told before, in their order."""
        for alert in told:
            self._open[alert.alert_id] = _Open(
                alert, _ms(alert.last_at), set(map(str, alert.evidence))
            )

    def look(self, view: View, now_ms: int) -> list[Alert]:
        """Return what is to be told as of an instant: alerts that are new, have grown, or are
        over.
        """
        told: dict[UUID, Alert] = {}
        for finding in [*spikes(view, now_ms), *self._levels.look(view, now_ms)]:
            alert = self._taken(finding, now_ms)
            if alert is not None:
                told[alert.alert_id] = alert
        for alert in self._over(now_ms):
            told[alert.alert_id] = alert
        return list(told.values())

    def open(self) -> list[Alert]:
        """Return the alerts that are not over, the newest first."""
        still = [one.alert for one in self._open.values() if one.alert.ended_at is None]
        return sorted(still, key=lambda alert: (alert.raised_at, str(alert.alert_id)), reverse=True)

    def _taken(self, finding: Finding, now_ms: int) -> Alert | None:
        """Take a finding in; return the alert that is to be told for it, or None where nothing is
        new.
        """
        one = self._known(finding, now_ms)
        if one is None:
            alert = _raised(finding, now_ms)
            self._open[alert.alert_id] = _Open(alert, now_ms, set(finding.samples.values()))
            return alert
        if one.alert.ended_at is not None or one.alert.kind != finding.kind:
            return None
        one.last_ms = now_ms
        one.records.update(finding.samples.values())
        joins = finding.measure not in one.alert.measures
        grown = finding.measure == one.alert.measure and finding.seen >= _GROWN * one.alert.seen
        if not joins and not grown:
            return None
        news: dict[str, object] = {"last_at": _at(now_ms)}
        if joins:
            news["measures"] = (*one.alert.measures, finding.measure)
        if grown:
            news |= _counted(finding)
        one.alert = one.alert.model_copy(update=news)
        return one.alert

    def _known(self, finding: Finding, now_ms: int) -> _Open | None:
        """Return the alert that a finding belongs to, where there is one."""
        for one in self._open.values():
            alert = one.alert
            if alert.tenant != finding.tenant:
                continue
            if finding.kind == "level":
                since = now_ms - one.last_ms
                if finding.measure in alert.measures and (
                    alert.kind == "level" or since < _AFTERMATH_MS
                ):
                    return one
            elif alert.kind == "spike" and alert.ended_at is None and _belongs(finding, one):
                return one
        return None

    def _over(self, now_ms: int) -> list[Alert]:
        """End what is over, and forget what has been over for long."""
        ended: list[Alert] = []
        for one in self._open.values():
            lasts = _SPIKE_OVER_MS if one.alert.kind == "spike" else _LEVEL_OVER_MS
            if one.alert.ended_at is None and now_ms - one.last_ms >= lasts:
                one.alert = one.alert.model_copy(
                    update={"last_at": _at(one.last_ms), "ended_at": _at(now_ms)}
                )
                ended.append(one.alert)
        self._open = {
            alert_id: one
            for alert_id, one in self._open.items()
            if one.alert.ended_at is None or now_ms - one.last_ms < _AFTERMATH_MS
        }
        return ended


def _belongs(finding: Finding, one: _Open) -> bool:
    """Return whether a spike is the same event as an open one: the same measure, mere number, or
    mostly the same records.
    """
    if finding.measure in one.alert.measures or INBOUND in (finding.measure, one.alert.measure):
        return True
    records = set(finding.samples.values())
    return 2 * len(records & one.records) >= min(len(records), len(one.records))


def _raised(finding: Finding, now_ms: int) -> Alert:
    minute = now_ms // 60_000
    return Alert(
        alert_id=stable_id("alert", finding.tenant, finding.kind, finding.measure, str(minute)),
        tenant=finding.tenant,
        kind=finding.kind,
        measure=finding.measure,
        measures=(finding.measure,),
        raised_at=_at(now_ms),
        last_at=_at(now_ms),
        evidence=tuple(UUID(record) for record in list(finding.samples.values())[:_EVIDENCE]),
        **_counted(finding),
    )


def _counted(finding: Finding) -> dict[str, object]:
    what = "business events" if denominator(finding.measure) == BUSINESS else "messages"
    among = "" if finding.measure == INBOUND else f" of {finding.of}"
    return {
        "channel": finding.channel,
        "window_s": finding.window_s,
        "seen": finding.seen,
        "of": finding.of,
        "expected": round(finding.expected, 3),
        "surprise": round(finding.surprise, 3),
        "message": f"{finding.measure}: {finding.seen}{among} {what} within {finding.window_s} s, "
        f"{finding.expected:.1f} expected; most of them by {finding.channel}",
    }


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
