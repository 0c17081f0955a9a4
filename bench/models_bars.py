"""The targets of the models' benchmark, and a report of a run against them.

The benchmark reports missed targets; it does not fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Bar:
    """A target: its number format, and the minimum or maximum of the figure."""

    form: str
    sign: Literal[">=", "<="]
    goal: float

    def is_met(self, measured: float) -> bool:
        """Return whether a figure meets the target; NaN does not."""
        return measured >= self.goal if self.sign == ">=" else measured <= self.goal


# The targets are at least what the best other systems reached on the same data sets
# (reference/baselines.md).
BARS: Mapping[str, Bar] = {
    "prequential accuracy %, mean of the sets": Bar("{:.1f}", ">=", 80.3),
    "unseen accuracy %, mean of the sets": Bar("{:.1f}", ">=", 85.2),
    "worst set beside VW, points past one standard error": Bar("{:+.2f}", ">=", -0.5),
    "calibration error, mean of the sets": Bar("{:.4f}", "<=", 0.025),
    "accuracy % at 80 % coverage, mean of the sets": Bar("{:.1f}", ">=", 90.3),
    "fresh starts on undisturbed sets": Bar("{:.0f}", "<=", 0),
    "features µs, mean of the sets": Bar("{:.1f}", "<=", 40),
    "test and learn µs, mean of the sets": Bar("{:.1f}", "<=", 250),
    "test and learn µs at 77 classes": Bar("{:.1f}", "<=", 250),
    "times as fast as VW, predict with features": Bar("{:.1f}", ">=", 3),
    "times as fast as VW, test and learn with features": Bar("{:.1f}", ">=", 3),
    "times as fast as river, predict with features": Bar("{:.1f}", ">=", 20),
    "times as fast as river, test and learn with features": Bar("{:.1f}", ">=", 20),
    "after 200 labels %, banking77": Bar("{:.1f}", ">=", 45),
    "after 200 labels %, waimai": Bar("{:.1f}", ">=", 83),
    "after 200 labels %, sms": Bar("{:.1f}", ">=", 96),
    "texts to recover, banking77": Bar("{:.0f}", "<=", 1_400),
    "texts to recover, waimai": Bar("{:.0f}", "<=", 350),
    "texts to recover, smp2017": Bar("{:.0f}", "<=", 700),
    "clinc out of scope detected %": Bar("{:.1f}", ">=", 50),
    "clinc in scope right %": Bar("{:.1f}", ">=", 91),
    "model less rules, points after 200 labels, waimai_10k": Bar("{:+.1f}", ">=", 0),
    "model less rules, points after 200 labels, airline_tweets": Bar("{:+.1f}", ">=", 0),
    "model less rules, points after 200 labels, sms_spam": Bar("{:+.1f}", ">=", 0),
    "all default heads µs, rules and all but features": Bar("{:.1f}", "<=", 80),
    "memory MB of all default heads": Bar("{:.0f}", "<=", 300),
    "start s from a snapshot of 100,000 labels": Bar("{:.2f}", "<=", 3),
    "chat records/s, the classify stage alone": Bar("{:,.0f}", ">=", 5_000),
}


@dataclass
class Verdicts:
    """The figures of a run that have a target."""

    measured: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, figure: float) -> None:
        """Record a figure. Raises KeyError if there is no target of that name."""
        if name not in BARS:
            raise KeyError(f"there is no target named {name!r}")
        self.measured[name] = figure

    def lines(self) -> list[str]:
        """Return a line for each target: name, target, measured figure, and whether it is met."""
        width = max(len(name) for name in BARS)
        lines = [f"{'target':<{width}}{'':>12}{'measured':>12}  met or missed"]
        for name, bar in BARS.items():
            goal = f"{bar.sign} {bar.form.format(bar.goal)}"
            figure = self.measured.get(name)
            result = (
                ("-", "not measured")
                if figure is None
                else (bar.form.format(figure), _word(bar.is_met(figure)))
            )
            lines.append(f"{name:<{width}}{goal:>12}{result[0]:>12}  {result[1]}")
        return lines


def _word(is_met: bool) -> str:
    return "met" if is_met else "MISSED"
