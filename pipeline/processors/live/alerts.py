"""Alerts: each finding is raised once, with its evidence, and closed once it is over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from pipeline.processors.live.observations import BUSINESS, INBOUND
from pipeline.processors.live.spikes import Finding, LevelDetector, denominator, find_spikes
from pipeline.processors.live.view import LiveView
from schemas.envelope import stable_id
from schemas.live import Alert

# A spike is over after ten minutes without a finding of it, twice its larger window; with a shorter
# time, a flood that pauses would be two alerts.
_SPIKE_OVER_MS: Final = 600_000
# A changed level is the normal level once a whole day has passed at it.
_LEVEL_OVER_MS: Final = 86_400_000
# The hour window still contains a spike after the spike is over: a level that changed with the
# spike raises no alert of its own.
_AFTERMATH_MS: Final = 2 * 3_600_000
# An alert is emitted again when its count has doubled: a person who knows of forty wants to know of
# eighty.
_GROWTH: Final = 2
# Enough records to read what the alert is about.
_MAX_EVIDENCE: Final = 20


@dataclass
class _OpenAlert:
    """An alert that is open or ended recently, and the records of its findings."""

    alert: Alert
    last_ms: int
    records: set[str] = field(default_factory=set)


class AlertMonitor:
    """Checks a view from time to time and raises alerts.

    Its only memory is the alerts that it emitted, so another process can take over (`restore`).
    """

    def __init__(self) -> None:
        self._open: dict[UUID, _OpenAlert] = {}
        self._levels = LevelDetector()

    def restore(self, alerts: Iterable[Alert]) -> None:
        """Take over alerts that were emitted before, in their order."""
        for alert in alerts:
            self._open[alert.alert_id] = _OpenAlert(
                alert, _ms(alert.last_at), set(map(str, alert.evidence))
            )

    def check(self, view: LiveView, now_ms: int) -> list[Alert]:
        """Return the alerts to emit as of an instant: those that are new, have grown or ended."""
        changed: dict[UUID, Alert] = {}
        for finding in [*find_spikes(view, now_ms), *self._levels.check(view, now_ms)]:
            alert = self._apply(finding, now_ms)
            if alert is not None:
                changed[alert.alert_id] = alert
        for alert in self._close_ended(now_ms):
            changed[alert.alert_id] = alert
        return list(changed.values())

    def open_alerts(self) -> list[Alert]:
        """Return the alerts that have not ended, the newest first."""
        alerts = [item.alert for item in self._open.values() if item.alert.ended_at is None]
        return sorted(
            alerts, key=lambda alert: (alert.raised_at, str(alert.alert_id)), reverse=True
        )

    def _apply(self, finding: Finding, now_ms: int) -> Alert | None:
        """Apply a finding; return the alert to emit for it, or None if it says nothing new."""
        known = self._matching(finding, now_ms)
        if known is None:
            alert = _new_alert(finding, now_ms)
            self._open[alert.alert_id] = _OpenAlert(alert, now_ms, set(finding.samples.values()))
            return alert
        alert = known.alert
        if alert.ended_at is not None or alert.kind != finding.kind:
            return None
        known.last_ms = now_ms
        known.records.update(finding.samples.values())
        joins = finding.measure not in alert.measures
        grew = finding.measure == alert.measure and finding.count >= _GROWTH * alert.seen
        if not joins and not grew:
            return None
        changes: dict[str, object] = {"last_at": _at(now_ms)}
        if joins:
            changes["measures"] = (*alert.measures, finding.measure)
        if grew:
            changes |= _figures(finding)
        known.alert = alert.model_copy(update=changes)
        return known.alert

    def _matching(self, finding: Finding, now_ms: int) -> _OpenAlert | None:
        """Return the alert that a finding belongs to, if there is one."""
        for item in self._open.values():
            alert = item.alert
            if alert.tenant != finding.tenant:
                continue
            if finding.kind == "level":
                since = now_ms - item.last_ms
                if finding.measure in alert.measures and (
                    alert.kind == "level" or since < _AFTERMATH_MS
                ):
                    return item
            elif alert.kind == "spike" and alert.ended_at is None and _belongs(finding, item):
                return item
        return None

    def _close_ended(self, now_ms: int) -> list[Alert]:
        """Close the alerts that are over, and drop those that ended long ago."""
        ended: list[Alert] = []
        for item in self._open.values():
            over_after = _SPIKE_OVER_MS if item.alert.kind == "spike" else _LEVEL_OVER_MS
            if item.alert.ended_at is None and now_ms - item.last_ms >= over_after:
                item.alert = item.alert.model_copy(
                    update={"last_at": _at(item.last_ms), "ended_at": _at(now_ms)}
                )
                ended.append(item.alert)
        self._open = {
            alert_id: item
            for alert_id, item in self._open.items()
            if item.alert.ended_at is None or now_ms - item.last_ms < _AFTERMATH_MS
        }
        return ended


def _belongs(finding: Finding, known: _OpenAlert) -> bool:
    """Return whether a spike is the same event as an open alert.

    It is if they have the same measure, or one counts all messages, or most records are the same.
    """
    measures = known.alert.measures
    if finding.measure in measures or INBOUND in (finding.measure, known.alert.measure):
        return True
    records = set(finding.samples.values())
    return 2 * len(records & known.records) >= min(len(records), len(known.records))


def _new_alert(finding: Finding, now_ms: int) -> Alert:
    minute = now_ms // 60_000
    return Alert(
        alert_id=stable_id("alert", finding.tenant, finding.kind, finding.measure, str(minute)),
        tenant=finding.tenant,
        kind=finding.kind,
        measure=finding.measure,
        measures=(finding.measure,),
        raised_at=_at(now_ms),
        last_at=_at(now_ms),
        evidence=tuple(UUID(record) for record in list(finding.samples.values())[:_MAX_EVIDENCE]),
        **_figures(finding),
    )


def _figures(finding: Finding) -> dict[str, object]:
    what = "business events" if denominator(finding.measure) == BUSINESS else "messages"
    among = "" if finding.measure == INBOUND else f" of {finding.total}"
    return {
        "channel": finding.channel,
        "window_s": finding.window_s,
        "seen": finding.count,
        "of": finding.total,
        "expected": round(finding.expected, 3),
        "surprise": round(finding.surprise, 3),
        "message": f"{finding.measure}: {finding.count}{among} {what} within {finding.window_s} s, "
        f"{finding.expected:.1f} expected; most of them by {finding.channel}",
    }


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
