"""What the models must reach, by name, and how a run's figures stand to it. A bench tells: it fails
for none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Bar:
    """A figure that must hold: how it is written, and the least or the most that it may be."""

    form: str
    sign: Literal[">=", "<="]
    goal: float

    def held(self, measured: float) -> bool:
        """Return whether a figure holds; one that is no number does not."""
        return measured >= self.goal if self.sign == ">=" else measured <= self.goal


# What the models are held to: what the best of others reached on the same sets
# (reference/baselines.md), and more.
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
    "clinc out of scope told %": Bar("{:.1f}", ">=", 50),
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
    """The figures of a run that there is a bar for."""

    measured: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, figure: float) -> None:
        """Take a figure. Raises KeyError where there is no bar of that name."""
        if name not in BARS:
            raise KeyError(f"there is no bar {name!r}")
        self.measured[name] = figure

    def lines(self) -> list[str]:
        """Return a line for each bar: its name and figure, what was measured, and whether it is
        held.
        """
        width = max(len(name) for name in BARS)
        found = [f"{'bar':<{width}}{'':>12}{'measured':>12}  held or missed"]
        for name, bar in BARS.items():
            goal = f"{bar.sign} {bar.form.format(bar.goal)}"
            figure = self.measured.get(name)
            told = (
                ("-", "not measured")
                if figure is None
                else (bar.form.format(figure), _word(bar.held(figure)))
            )
            found.append(f"{name:<{width}}{goal:>12}{told[0]:>12}  {told[1]}")
        return found


def _word(held: bool) -> str:
    return "held" if held else "MISSED"
