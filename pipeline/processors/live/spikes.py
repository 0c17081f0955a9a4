"""What is not as it was: labels far more frequent than the day before lets expect, and lasting
changes of level; pure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from pipeline.processors.live.observations import BUSINESS, INBOUND
from pipeline.processors.live.panes import DAY, HOUR, MINUTE, Resolution
from pipeline.processors.live.view import Measured, View
from schemas.live import AlertKind

# What heads say of most messages, or of those that say nothing: more of it is nobody's alarm.
ORDINARY: Final = frozenset(
    (
        "need:greeting",
        "need:other",
        "sentiment:neutral",
        "urgency:normal",
        "urgency:low",
        "spam:ham",
        "purchase_intent:none",
    )
)
# Over a minute a flood is seen at once, over five a swell that no single minute shows.
_SPIKE_WINDOWS: Final[tuple[tuple[Resolution, int], ...]] = ((MINUTE, 60), (HOUR, 300))
# Some 60 measures looked at 17,280 times a day (every five seconds) are a million looks: at one in
# a thousand million for each, chance alone raises an alert in three years.
_SURPRISE: Final = 9.0
# Fewer is an incident, not a spike; and one angry customer who writes twenty times is one customer.
_LEAST, _LEAST_CUSTOMERS = 10, 5
# With thousands of messages in five minutes any small change is beyond chance; twice as many is
# what people call a spike.
_TIMES: Final = 2.0
# Shares are learnt from the rest of the day: of fewer messages than this they are a guess.
_LEAST_BEFORE: Final = 200
# The number of messages follows the hours of the day, so it is held against the busiest quarter of
# the day before: most of a day must be known, and three times its peak is no rhythm.
_VOLUME_HISTORY_S, _VOLUME_TIMES, _VOLUME_LEAST = 20 * 3_600, 3.0, 30
# A change of level is told of once the last hour by itself shows it: beyond chance (one in a
# million), and by a factor that matters.
_LEVEL_SURPRISE, _LEVEL_TIMES, _LEVEL_LEAST = 6.0, 2.0, 100
# A change that ADWIN saw is looked for in the hour for so long: within it the hour holds nothing of
# before.
_CONFIRMED_MS: Final = 5_400_000
# ADWIN is given each minute's messages one by one, evenly mixed; more than so many of a pane tell
# it nothing more of a share.
_PER_PANE: Final = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """A measure that is not as it was; see `schemas.live.Alert`. `samples`: record ids by
    customer.
    """

    tenant: str
    kind: AlertKind
    measure: str
    channel: str
    window_s: int
    seen: int
    of: int
    expected: float
    surprise: float
    samples: dict[str, str] = field(default_factory=dict)


def surprise(seen: int, of: int, share: float) -> float:
    """Return by how many powers of ten chance alone is unlikely to give so many (or so few) of so
    many, at a share within (0, 1).

    Chernoff's bound of the binomial's tail, n·KL(k/n ‖ p),
    https://en.wikipedia.org/wiki/Chernoff_bound#Additive_form_(absolute_error).
    """
    found = seen / of
    up = found * math.log(found / share) if found > 0 else 0.0
    down = (1 - found) * math.log((1 - found) / (1 - share)) if found < 1 else 0.0
    return of * (up + down) / math.log(10)


def surprise_of_rate(seen: int, expected: float) -> float:
    """Return the same for a number of events of which so many are expected: Chernoff's bound of
    Poisson's tail.
    """
    return (seen * math.log(seen / expected) - seen + expected) / math.log(10)


def denominator(measure: str) -> str:
    """Return what a measure is a share of: business events of all business events, answers of heads
    of messages by customers.
    """
    return BUSINESS if measure.startswith(BUSINESS + ":") else INBOUND


def spikes(view: View, now_ms: int) -> list[Finding]:
    """Return the spikes as of an instant, each measure's strongest, the strongest first."""
    days = view.measured(DAY, now_ms)
    found: dict[tuple[str, str], Finding] = {}
    for resolution, span_s in _SPIKE_WINDOWS:
        for tenant, recent in view.measured(resolution, now_ms, span_s).items():
            for finding in _spikes_of(tenant, recent, days[tenant].counts, span_s):
                key = (tenant, finding.measure)
                if key not in found or finding.surprise > found[key].surprise:
                    found[key] = finding
    for finding in _volumes(view, now_ms):
        found[finding.tenant, finding.measure] = finding
    return sorted(found.values(), key=lambda one: (-one.surprise, one.tenant, one.measure))


def _spikes_of(tenant: str, recent: Measured, day: Counter[str], span_s: int) -> Iterator[Finding]:
    for measure, seen in recent.voices.items():
        if ":" not in measure or measure in ORDINARY or seen < _LEAST:
            continue
        samples = recent.samples[measure]
        of = recent.counts[denominator(measure)]
        before_of = day[denominator(measure)] - of
        if len(samples) < _LEAST_CUSTOMERS or before_of < _LEAST_BEFORE:
            continue
        share = _share_at_most(day[measure] - recent.counts[measure], before_of)
        if seen < _TIMES * share * of or (unlikely := surprise(seen, of, share)) < _SURPRISE:
            continue
        yield Finding(
            tenant,
            "spike",
            measure,
            _channel(recent, measure),
            span_s,
            seen,
            of,
            share * of,
            unlikely,
            samples,
        )


def _share_at_most(seen: int, of: int) -> float:
    """Return a share that is known from so many: two standard deviations above what was seen, and
    never 0 nor 1.
    """
    return min((seen + 1 + 2 * math.sqrt(seen + 1)) / of, 1 - 1 / of)


def _channel(measured: Measured, measure: str) -> str:
    """Return the channel that brought most of a measure."""
    return max(
        measured.channels, key=lambda channel: (measured.channels[channel][measure], channel)
    )


def _volumes(view: View, now_ms: int) -> Iterator[Finding]:
    _, span_s = _SPIKE_WINDOWS[-1]
    recents = view.measured(HOUR, now_ms, span_s)
    newest = DAY.pane_of(now_ms)
    for tenant, totals in view.pane_totals(DAY, now_ms).items():
        # The quarter that is under way, and the one before, may hold the spike itself.
        before = {start: counts for start, counts in totals.items() if start < newest - DAY.pane_s}
        if tenant not in recents or not before or min(before) > newest - _VOLUME_HISTORY_S:
            continue
        busiest = max(counts[INBOUND] for counts in before.values())
        expected = max(busiest, 1) * span_s / DAY.pane_s
        recent = recents[tenant]
        seen = recent.voices[INBOUND]
        if (
            seen < _VOLUME_LEAST
            or seen < _VOLUME_TIMES * expected
            or len(recent.samples[INBOUND]) < _LEAST_CUSTOMERS
        ):
            continue
        if (unlikely := surprise_of_rate(seen, expected)) >= _SURPRISE:
            channel = _channel(recent, INBOUND)
            samples = recent.samples[INBOUND]
            yield Finding(
                tenant, "spike", INBOUND, channel, span_s, seen, seen, expected, unlikely, samples
            )


class Adwin(Protocol):
    """What is used of river's ADWIN."""

    @property
    def drift_detected(self) -> bool: ...

    def update(self, x: float) -> object: ...


def _adwin() -> Adwin:
    # River takes two seconds to import, which a run over old records need not wait for.
    from river.drift import ADWIN

    window: Adwin = ADWIN()  # type: ignore[no-untyped-call]
    return window


class Levels:
    """Watches the share of every measure with ADWIN (Bifet and Gavaldà 2007, by river), minute
    after minute.

    What it holds can be lost: a new one takes in the day and the hour that the view holds, and goes
    on from there.
    """

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], Adwin] = {}
        self._changed: dict[tuple[str, str], int] = {}
        self._fed_s = -1

    def look(self, view: View, now_ms: int) -> list[Finding]:
        """Take in the minutes that are over, and return the measures whose level has changed, as
        the last hour shows.
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
                window = self._windows.get((tenant, measure))
                if window is None:
                    quarters = quarters or view.pane_totals(DAY, now_ms)
                    window = self._windows[tenant, measure] = _adwin()
                    _feed(window, measure, quarters[tenant], -1, over - HOUR.span_s)
                    _feed(window, measure, panes, -1, over)
                elif _feed(window, measure, panes, self._fed_s, over):
                    self._changed[tenant, measure] = now_ms + _CONFIRMED_MS
        self._fed_s = over
        self._changed = {
            measure: until for measure, until in self._changed.items() if now_ms < until
        }
        return list(_changes(view, list(self._changed), now_ms))


def _feed(
    window: Adwin, measure: str, panes: dict[int, Counter[str]], since_s: int, until_s: int
) -> bool:
    """Give a window the panes that start within [since, until); return whether it saw a change."""
    changed = False
    for start in sorted(start for start in panes if since_s <= start < until_s):
        of = panes[start][denominator(measure)]
        given = min(of, _PER_PANE)
        ones = round(panes[start][measure] * given / of) if of else 0
        for place in range(given):
            window.update((place + 1) * ones // given - place * ones // given)
            changed = changed or window.drift_detected
    return changed


def _changes(view: View, changed: Sequence[tuple[str, str]], now_ms: int) -> Iterator[Finding]:
    if not changed:
        return
    hours, days = view.measured(HOUR, now_ms), view.measured(DAY, now_ms)
    for tenant, measure in changed:
        hour, day = hours[tenant], days[tenant].counts
        of, seen = hour.counts[denominator(measure)], hour.voices[measure]
        before_of, before = day[denominator(measure)] - of, day[measure] - hour.counts[measure]
        if of < _LEVEL_LEAST or before_of < _LEAST_BEFORE:
            continue
        share = (before + 1) / (before_of + 2)
        if share / _LEVEL_TIMES < seen / of < share * _LEVEL_TIMES:
            continue
        if (unlikely := surprise(seen, of, share)) >= _LEVEL_SURPRISE:
            samples = hour.samples[measure]
            channel = _channel(hour, measure)
            yield Finding(
                tenant,
                "level",
                measure,
                channel,
                HOUR.span_s,
                seen,
                of,
                share * of,
                unlikely,
                samples,
            )
