"""Whether an alert of deploy/ would ring, asked of Prometheus' own promtool with what real workers'
pages have told.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support import tools

_RULES = Path(__file__).resolve().parents[2] / "deploy/prometheus/alerts.yml"
Scrape = Mapping[str, str | None]
"""What each worker's port answered, by its name; None: it did not answer."""


def rings(alert: str, scrapes: Sequence[Scrape]) -> bool:
    """Return whether an alert rings after scrapes a minute apart, the last of which stays true for
    as long as the alert waits.

    Raises AssertionError where promtool finds fault with the rules.
    """
    rule = _rule(alert)
    held = int(str(rule.get("for", "0m")).removesuffix("m")) + 1
    series = [
        {
            "series": name,
            "values": " ".join([*(_value(one) for one in values), f"{_value(values[-1])}x{held}"]),
        }
        for name, values in _series(scrapes).items()
    ]
    asked = {
        "expr": f'ALERTS{{alertname="{alert}", alertstate="firing"}}',
        "eval_time": f"{len(scrapes) + held - 1}m",
        "exp_samples": [],
    }
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.yml"
        path.write_text(
            yaml.safe_dump(
                {"rule_files": [str(_RULES)], "evaluation_interval": "1m", "tests": [test]}
            )
        )
        done = subprocess.run(
            [str(tools.promtool()), "test", "rules", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
    said = done.stdout + done.stderr
    # No sample is expected, so one that is there is told as a failure: the alert rings.
    assert done.returncode == 0 or alert in said.partition("got:")[2], said
    return done.returncode != 0


def _rule(alert: str) -> dict[str, object]:
    groups = yaml.safe_load(_RULES.read_text("utf-8"))["groups"]
    (found,) = [rule for group in groups for rule in group["rules"] if rule["alert"] == alert]
    return dict(found)


def _series(scrapes: Sequence[Scrape]) -> dict[str, list[float | None]]:
    """Return the values of every series, one a scrape, None where it was not there."""
    found: dict[str, list[float | None]] = {}
    for place, scrape in enumerate(scrapes):
        for instance, page in scrape.items():
            told = _told(page) | {("up", ()): 0.0 if page is None else 1.0}
            for (name, labels), value in told.items():
                words = {"job": "switchboard", "instance": instance, **dict(labels)}
                written = ",".join(f'{label}="{word}"' for label, word in words.items())
                found.setdefault(f"{name}{{{written}}}", [None] * len(scrapes))[place] = value
    return found


def _told(page: str | None) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    samples = [
        one for family in text_string_to_metric_families(page or "") for one in family.samples
    ]
    return {
        (one.name, tuple(one.labels.items())): one.value
        for one in samples
        if not one.name.endswith("_bucket")
    }


def _value(value: float | None) -> str:
    return "_" if value is None else repr(value)
