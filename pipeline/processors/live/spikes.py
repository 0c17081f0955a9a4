"""Finds spikes (labels far more frequent than the day before) and lasting changes of level."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from pipeline.models.heads import HEADS
from pipeline.processors.live.observations import BUSINESS, INBOUND
from pipeline.processors.live.panes import DAY, HOUR, MINUTE, Resolution
from pipeline.processors.live.view import LiveView, SpanCounts
from schemas.live import AlertKind

# More of the ordinary answers alarms nobody.
ORDINARY: Final = frozenset(f"{head.name}:{label}" for head in HEADS for label in head.ordinary)
# A minute shows a flood at once; five minutes show a swell that no single minute does.
_SPIKE_WINDOWS: Final[tuple[tuple[Resolution, int], ...]] = ((MINUTE, 60), (HOUR, 300))
# Some 60 measures checked 17,280 times a day (every five seconds) are a million checks: with a
# probability of one in a thousand million for each, chance alone raises one alert in three years.
_MIN_SURPRISE: Final = 9.0
# Fewer records are an incident, not a spike; and one angry customer who writes twenty times is one
# customer.
_MIN_COUNT, _MIN_CUSTOMERS = 10, 5
# With thousands of messages in five minutes any small change is beyond chance; twice as many is
# what people call a spike.
_MIN_FACTOR: Final = 2.0
# Shares are estimated from the rest of the day: with fewer messages than this they are a guess.
_MIN_HISTORY: Final = 200
# The number of messages follows the hours of the day, so it is compared with the busiest quarter of
# an hour of the day before: most of a day must be known, and three times its peak is no daily
# rhythm.
_VOLUME_HISTORY_S, _VOLUME_FACTOR, _VOLUME_MIN_COUNT = 20 * 3_600, 3.0, 30
# A change of level is a finding once the last hour by itself shows it: beyond chance (one in a
# million), and by a factor that matters.
_LEVEL_SURPRISE, _LEVEL_FACTOR, _LEVEL_MIN_TOTAL = 6.0, 2.0, 100
# For so long after ADWIN detected a change, the last hour is checked for it: by then the hour
# contains nothing from before the change.
_CONFIRM_MS: Final = 5_400_000
# ADWIN gets each minute's messages one by one, evenly mixed; more than so many from one pane say
# nothing more about a share.
_MAX_PER_PANE: Final = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """A measure that has changed: `count` of `total` records where `expected` were expected.

    See `schemas.live.Alert`; `samples` are record ids by customer.
    """

    tenant: str
    kind: AlertKind
    measure: str
    channel: str
    window_s: int
    count: int
    total: int
    expected: float
    surprise: float
    samples: dict[str, str] = field(default_factory=dict)


def surprise(count: int, total: int, share: float) -> float:
    """Return the negative decimal logarithm of the chance of `count` of `total` at a share.

    The share lies within (0, 1); both too many and too few are surprising. This is
    Chernoff's bound of the binomial distribution's tail, n·KL(k/n ‖ p):
    https://en.wikipedia.org/wiki/Chernoff_bound#Additive_form_(absolute_error).

    >>> round(surprise(40, 100, share=0.1), 2)
    13.52
    """
    observed = count / total
    up = observed * math.log(observed / share) if observed > 0 else 0.0
    down = (1 - observed) * math.log((1 - observed) / (1 - share)) if observed < 1 else 0.0
    return total * (up + down) / math.log(10)


def surprise_of_rate(count: int, expected: float) -> float:
    """Return the same for a number of events of which so many are expected.

    This is Chernoff's bound of the Poisson distribution's tail.

    >>> round(surprise_of_rate(40, expected=10.0), 2)
    11.05
    """
    return (count * math.log(count / expected) - count + expected) / math.log(10)


def denominator(measure: str) -> str:
    """Return the measure that another is a share of: all business events, or inbound messages.

    >>> denominator("need:complaint"), denominator("business:order.paid")
    ('inbound', 'business')
    """
    return BUSINESS if measure.startswith(BUSINESS + ":") else INBOUND


def find_spikes(view: LiveView, now_ms: int) -> list[Finding]:
    """Return the spikes as of an instant, each measure's strongest, the strongest first."""
    days = view.span_counts(DAY, now_ms)
    strongest: dict[tuple[str, str], Finding] = {}
    for resolution, span_s in _SPIKE_WINDOWS:
        for tenant, recent in view.span_counts(resolution, now_ms, span_s).items():
            for finding in _spikes_of(tenant, recent, days[tenant].counts, span_s):
                key = (tenant, finding.measure)
                if key not in strongest or finding.surprise > strongest[key].surprise:
                    strongest[key] = finding
    for finding in _volumes(view, now_ms):
        strongest[finding.tenant, finding.measure] = finding
    return sorted(strongest.values(), key=lambda item: (-item.surprise, item.tenant, item.measure))


def _spikes_of(
    tenant: str, recent: SpanCounts, day: Counter[str], span_s: int
) -> Iterator[Finding]:
    for measure, count in recent.customers.items():
        if ":" not in measure or measure in ORDINARY or count < _MIN_COUNT:
            continue
        samples = recent.samples[measure]
        total = recent.counts[denominator(measure)]
        total_before = day[denominator(measure)] - total
        if len(samples) < _MIN_CUSTOMERS or total_before < _MIN_HISTORY:
            continue
        share = _upper_share(day[measure] - recent.counts[measure], total_before)
        if count < _MIN_FACTOR * share * total:
            continue
        if (unlikely := surprise(count, total, share)) < _MIN_SURPRISE:
            continue
        yield Finding(
            tenant,
            "spike",
            measure,
            _channel(recent, measure),
            span_s,
            count,
            total,
            share * total,
            unlikely,
            samples,
        )


def _upper_share(count: int, total: int) -> float:
    """Return an upper estimate of a share, never 0 or 1: two standard deviations above it."""
    return min((count + 1 + 2 * math.sqrt(count + 1)) / total, 1 - 1 / total)


def _channel(counts: SpanCounts, measure: str) -> str:
    """Return the channel that has most records of a measure."""
    return max(counts.channels, key=lambda channel: (counts.channels[channel][measure], channel))


def _volumes(view: LiveView, now_ms: int) -> Iterator[Finding]:
    _, span_s = _SPIKE_WINDOWS[-1]
    recents = view.span_counts(HOUR, now_ms, span_s)
    newest = DAY.pane_of(now_ms)
    for tenant, totals in view.pane_totals(DAY, now_ms).items():
        # The current quarter of an hour, and the one before it, may contain the spike itself.
        before = {start: counts for start, counts in totals.items() if start < newest - DAY.pane_s}
        if tenant not in recents or not before or min(before) > newest - _VOLUME_HISTORY_S:
            continue
        busiest = max(counts[INBOUND] for counts in before.values())
        expected = max(busiest, 1) * span_s / DAY.pane_s
        recent = recents[tenant]
        count = recent.customers[INBOUND]
        if (
            count < _VOLUME_MIN_COUNT
            or count < _VOLUME_FACTOR * expected
            or len(recent.samples[INBOUND]) < _MIN_CUSTOMERS
        ):
            continue
        if (unlikely := surprise_of_rate(count, expected)) >= _MIN_SURPRISE:
            channel = _channel(recent, INBOUND)
            samples = recent.samples[INBOUND]
            yield Finding(
                tenant, "spike", INBOUND, channel, span_s, count, count, expected, unlikely, samples
            )


class ChangeDetector(Protocol):
    """The part of river's ADWIN that is used here."""

    @property
    def drift_detected(self) -> bool: ...

    def update(self, x: float) -> object: ...


def _adwin() -> ChangeDetector:
    # River takes two seconds to import; a run over old records never needs it.
    from river.drift import ADWIN

    detector: ChangeDetector = ADWIN()  # type: ignore[no-untyped-call]
    return detector


class LevelDetector:
    """Runs ADWIN (Bifet and Gavaldà 2007, by river) on every measure's share, minute by minute.

    Its state may be lost: a new detector starts from the day and the hour in the view.
    """

    def __init__(self) -> None:
        self._detectors: dict[tuple[str, str], ChangeDetector] = {}
        self._changed: dict[tuple[str, str], int] = {}
        self._fed_s = -1

    def check(self, view: LiveView, now_ms: int) -> list[Finding]:
        """Feed the minutes that are over; return the measures whose level has changed.

        A change counts once the last hour shows it.
        """
        over = HOUR.pane_of(now_ms)
        if over <= self._fed_s:
            return []
        minutes = view.pane_totals(HOUR, now_ms)
        quarters: dict[str, dict[int, Counter[str]]] | None = None
        for tenant, panes in minutes.items():
            measures = {
                measure for counts in panes.values() for measure in counts if ":" in measure
            } - ORDINARY
            for measure in sorted(measures):
                detector = self._detectors.get((tenant, measure))
                if detector is None:
                    quarters = quarters or view.pane_totals(DAY, now_ms)
                    detector = self._detectors[tenant, measure] = _adwin()
                    _feed(detector, measure, quarters[tenant], -1, over - HOUR.span_s)
                    _feed(detector, measure, panes, -1, over)
                elif _feed(detector, measure, panes, self._fed_s, over):
                    self._changed[tenant, measure] = now_ms + _CONFIRM_MS
        self._fed_s = over
        self._changed = {
            measure: until for measure, until in self._changed.items() if now_ms < until
        }
        return list(_changes(view, list(self._changed), now_ms))


def _feed(
    detector: ChangeDetector,
    measure: str,
    panes: dict[int, Counter[str]],
    since_s: int,
    until_s: int,
) -> bool:
    """Feed the panes that start within [since, until); return whether the detector saw a change."""
    changed = False
    for start in sorted(start for start in panes if since_s <= start < until_s):
        total = panes[start][denominator(measure)]
        fed = min(total, _MAX_PER_PANE)
        ones = round(panes[start][measure] * fed / total) if total else 0
        for number in range(fed):
            detector.update((number + 1) * ones // fed - number * ones // fed)
            changed = changed or detector.drift_detected
    return changed


def _changes(view: LiveView, changed: Sequence[tuple[str, str]], now_ms: int) -> Iterator[Finding]:
    if not changed:
        return
    hours, days = view.span_counts(HOUR, now_ms), view.span_counts(DAY, now_ms)
    for tenant, measure in changed:
        hour, day = hours[tenant], days[tenant].counts
        total, count = hour.counts[denominator(measure)], hour.customers[measure]
        total_before = day[denominator(measure)] - total
        before = day[measure] - hour.counts[measure]
        if total < _LEVEL_MIN_TOTAL or total_before < _MIN_HISTORY:
            continue
        share = (before + 1) / (total_before + 2)
        if share / _LEVEL_FACTOR < count / total < share * _LEVEL_FACTOR:
            continue
        if (unlikely := surprise(count, total, share)) >= _LEVEL_SURPRISE:
            samples = hour.samples[measure]
            channel = _channel(hour, measure)
            yield Finding(
                tenant,
                "level",
                measure,
                channel,
                HOUR.span_s,
                count,
                total,
                share * total,
                unlikely,
                samples,
            )
