"""The models' bench: how sets are split, what it notes of ours, and what it says of each bar, on
made-up data.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.models.evaluation.labelled_rows import LabelledRow
from pipeline.models.evaluation.online_model import judge_online
from tests.support.labelled_texts import labelled_texts

BENCH = Path(__file__).resolve().parents[2] / "bench"
# Programs of the bench find each other in their own folder.
sys.path.append(str(BENCH))

from models_bars import BARS, Verdicts  # noqa: E402
from models_data import cut, parts_of  # noqa: E402
from models_measures import run_ours  # noqa: E402
from models_streams import WINDOW, permuted, recovery  # noqa: E402


def table(path: Path, text: str, label: str, rows: list[LabelledRow]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((text, label))
        writer.writerows((row.text, row.label) for row in rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with two sets in their form: one with a part that is held out, one
    without.
    """
    table(tmp_path / "text_en/banking77/train.csv", "text", "category", labelled_texts(80))
    table(tmp_path / "text_zh/smp2017_ecdt/train.csv", "text", "label", labelled_texts(60))
    test_rows = labelled_texts(30, seed=2)
    table(tmp_path / "text_zh/smp2017_ecdt/develop.csv", "text", "label", test_rows)
    return tmp_path


def test_what_the_authors_hold_out_is_asked_after_the_whole_stream_else_a_fifth_after_the_rest(
    data: Path,
) -> None:
    held = parts_of(data, "smp2017", None, 7)
    assert held.learnt is held.stream
    assert (len(held.stream), len(held.unseen)) == (60, 30)
    assert sorted(text for text, _ in held.unseen) == sorted(
        row.text for row in labelled_texts(30, seed=2)
    )
    drawn = parts_of(data, "banking77", None, 7)
    assert (
        (drawn.learnt, drawn.unseen) == cut(drawn.stream) == (drawn.stream[:64], drawn.stream[64:])
    )
    assert drawn == parts_of(data, "banking77", None, 7) != parts_of(data, "banking77", None, 8)
    assert (
        len(parts_of(data, "smp2017", 10, 7).unseen)
        == len(parts_of(data, "smp2017", 10, 7).stream)
        == 10
    )


@pytest.mark.parametrize("name", ["smp2017", "banking77"])
def test_ours_is_judged_as_the_command_judges_it(data: Path, name: str) -> None:
    parts = parts_of(data, name, None, 7)
    found = run_ours(parts)
    stream, learnt, unseen = (
        [LabelledRow(*row) for row in rows] for rows in (parts.stream, parts.learnt, parts.unseen)
    )
    assert found.prequential == 100 * judge_online(stream).prequential.scores.accuracy
    test = judge_online(learnt, unseen).test
    assert test is not None
    assert (found.unseen, found.calibration) == (
        100 * test.scores.accuracy,
        100 * test.calibration.calibration_error,
    )
    assert min(found.features_us, found.predict_us, found.learn_us) > 0
    assert found.alarms == 0


def test_every_target_has_a_line() -> None:
    verdicts = Verdicts()
    at_least, at_most = "unseen accuracy %, mean of the sets", "calibration error, mean of the sets"
    verdicts.note(at_least, 85.2)
    verdicts.note(at_most, 0.0251)
    verdicts.note("texts to recover, waimai", float("inf"))
    verdicts.note("clinc out of scope detected %", float("nan"))
    lines = {name: line for name in BARS for line in verdicts.lines() if line.startswith(name)}
    assert len(verdicts.lines()) == len(BARS) + 1
    assert lines[at_least].endswith("85.2  met")
    assert lines[at_most].endswith("MISSED")
    assert lines["texts to recover, waimai"].split()[-2:] == ["inf", "MISSED"]
    assert lines["clinc out of scope detected %"].endswith("MISSED")
    assert sum(line.endswith("not measured") for line in lines.values()) == len(BARS) - 4
    with pytest.raises(KeyError, match="no target named 'speed'"):
        verdicts.note("speed", 1.0)


def test_recovery_is_counted_from_the_change_to_where_the_former_accuracy_is_back() -> None:
    right = np.ones(4 * WINDOW, dtype=np.bool_)
    half = 2 * WINDOW
    assert recovery(right, half) == (1, 1)
    right[half : half + 100] = False
    # A tenth of the window may be wrong: back when 70 of the 100 have left it.
    assert recovery(right, half) == (WINDOW + 70, WINDOW + 70)
    right[half:] = False
    assert recovery(right, half) == (None, None)
    rows = [(str(number), "ab"[number % 2]) for number in range(10)]
    turned = permuted(rows, 7)
    assert turned[:5] == rows[:5]
    assert all(new[1] != old[1] for new, old in zip(turned[5:], rows[5:], strict=True))


def test_bench_reports_missed_targets_without_failing(data: Path) -> None:
    command = [
        sys.executable,
        str(BENCH / "models_quality.py"),
        "--data",
        str(data),
        "--parts",
        "sets",
    ]
    done = subprocess.run(
        [*command, "--tasks", "banking77,smp2017"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    block = done.stdout[done.stdout.index("met or missed") :]
    assert "MISSED" in block
    assert "not measured" in block
    assert [
        line
        for line in block.splitlines()
        if line.startswith("fresh starts") and line.endswith(" met")
    ]
    wrong = subprocess.run(
        [*command, "--tasks", "nothing"], capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "no nothing; there are banking77" in wrong.stderr
