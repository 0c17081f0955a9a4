"""All models on a few made-up rows: whole results, the same by the same seed, and no word from the
test in any choice.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.evaluate import head_named
from pipeline.models.evaluation.candidates import CANDIDATES
from pipeline.models.evaluation.comparison import EvaluationPlan, compare
from pipeline.models.evaluation.evaluate import Evaluation, EvaluationData, evaluate
from pipeline.models.evaluation.json_output import as_json
from pipeline.models.evaluation.labelled_rows import EvaluationError, LabelledRow
from pipeline.models.evaluation.measures import score
from pipeline.models.evaluation.results import Comparison, count_known_texts
from pipeline.reporting.charts import lines
from pipeline.reporting.evaluation_page import mistakes_of, write_page
from tests.support.labelled import labelled

TRAIN, TEST = labelled(90), labelled(45, seed=2)
QUICK = EvaluationPlan(models=("naive_bayes",), folds=2)


def quiet(_what: str, _done: int, _total: int) -> None:
    return None


def chosen(comparison: Comparison) -> dict[str, Any]:
    """Return what was found on training rows alone."""
    methods = [{**asdict(method), "fit_s": 0} for method in comparison.selection]
    return {
        "order": [row.name for row in comparison.contenders],
        "models": {row.name: (row.folds, row.settings, row.rows) for row in comparison.contenders},
        "selection": methods,
    }


@pytest.fixture(scope="module")
def whole() -> Evaluation:
    """Return every model's judgement, each with one setting and one outer fold."""
    data = EvaluationData(tuple(TRAIN), tuple(TEST), "train.jsonl", "test.jsonl")
    return evaluate(
        data, EvaluationPlan(folds=2, budget_s=0), online=True, offline=True, on_progress=quiet
    )


def test_every_model_of_the_articles_is_judged_beside_the_online_one(whole: Evaluation) -> None:
    comparison = whole.comparison
    assert comparison is not None
    assert {row.name for row in comparison.contenders} == {
        "online",
        *(candidate.name for candidate in CANDIDATES),
    }
    assert {method.name for method in comparison.selection} == {
        "none",
        "chi2",
        "mutual_info",
        "rfe",
    }
    truths = [row.label for row in TEST]
    for row in comparison.contenders:
        assert sum(map(sum, row.confusion.counts)) == len(TEST)
        right = sum(counts[place] for place, counts in enumerate(row.confusion.counts))
        assert row.test.accuracy == pytest.approx(right / len(TEST))
        assert sum(report.rows for report in row.reports) == len(TEST)
        assert sum(group.rows for group in row.groups) == len(TEST)
        assert {(group.language, group.channel) for group in row.groups} == {
            (one.language, one.channel) for one in TEST
        }
        assert [size for size, _ in row.curve] == [9, 22, 45, 90]
        assert row.curve[-1][1] == row.test
        assert min(row.fit_s, row.features_us, row.predict_us) > 0
        assert row.test.accuracy > score(truths, ["praise"] * len(TEST)).accuracy + 0.2, row.name
    ranks = [row.cross_validated for row in comparison.contenders]
    assert ranks == sorted(ranks, reverse=True)
    assert comparison.winner is comparison.contenders[0]
    assert sum(mistake.times for mistake in mistakes_of(comparison.winner.confusion)) == round(
        (1 - comparison.winner.test.accuracy) * len(TEST)
    )


def test_what_the_budget_cut_short_is_said(whole: Evaluation) -> None:
    assert whole.comparison is not None
    for row in whole.comparison.contenders:
        if row.kind == "offline":
            assert any("after 1 of 2 folds" in note for note in row.notes)
            assert any("budget ended its search after 1 of" in note for note in row.notes)


def test_the_machine_gets_what_the_page_has(whole: Evaluation, tmp_path: Path) -> None:
    found = json.loads(json.dumps(as_json(whole)))
    online = found["online"]
    assert whole.online is not None
    assert online["prequential_accuracy"] == whole.online.prequential.scores.accuracy
    assert found["data"]["train_rows"] == len(TRAIN)
    assert found["data"]["test_rows_seen_in_training"] == count_known_texts(TRAIN, TEST)
    assert found["offline"]["winner"] == found["offline"]["models"][0]["name"]
    page = write_page(
        whole, tmp_path / "new" / "page.html", datetime(2026, 11, 1, tzinfo=UTC)
    ).read_text("utf-8")
    for model in found["offline"]["models"]:
        assert model["title"] in page
        assert f"{100 * model['test']['accuracy']:.1f}" in page
    assert "2026-11-01 00:00 UTC" in page
    assert "<script" not in page


def test_the_page_escapes_what_customers_wrote(tmp_path: Path) -> None:
    label = "<script>alert(1)</script>"
    rows = [
        LabelledRow(f"{word} {label} {n}", label if word == "on" else "</main>", "<b>", '"')
        for n in range(9)
        for word in ("on", "off")
    ]
    data = EvaluationData(tuple(rows), tuple(rows), "<i>train</i>", "test")
    found = evaluate(data, QUICK, online=True, offline=True, on_progress=quiet)
    page = write_page(found, tmp_path / "page.html", datetime(2026, 11, 1, tzinfo=UTC)).read_text(
        "utf-8"
    )
    assert "<script" not in page
    assert page.count("</main>") == 1
    assert "<i>train" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_test_part_decides_nothing() -> None:
    first = compare(TRAIN, TEST, QUICK)
    turned = [replace(row, label="refund", text=row.text[::-1]) for row in TEST[:9]]
    assert chosen(compare(TRAIN, turned, QUICK)) == chosen(first)


def test_the_same_seed_gives_the_same_results_and_another_other_folds() -> None:
    first, second = compare(TRAIN, TEST, QUICK), compare(TRAIN, TEST, QUICK)
    assert chosen(first) == chosen(second)
    assert [row.test for row in first.contenders] == [row.test for row in second.contenders]
    other = compare(TRAIN, TEST, replace(QUICK, seed=8))
    assert chosen(other)["models"] != chosen(first)["models"]


def test_rare_labels_and_repeated_texts_are_told() -> None:
    rows = [
        *TRAIN,
        LabelledRow("only once", "rare"),
        LabelledRow("twice", "scarce"),
        LabelledRow("twice over", "scarce"),
    ]
    found = compare(rows, [*TEST, TRAIN[0]], replace(QUICK, folds=3))
    assert any(
        "labels with fewer than 3 training rows" in note and "rare, scarce" in note
        for note in found.notes
    )
    assert (
        count_known_texts(
            [LabelledRow("Abc\u200b", "x")], [LabelledRow("aBC", "y"), LabelledRow("abcd", "x")]
        )
        == 1
    )
    few = compare(
        [row for row in TRAIN if row.label != "praise"][:8], TEST, replace(QUICK, folds=9)
    )
    assert few.folds < 9
    assert any("not 9" in note for note in few.notes)


def test_what_cannot_be_compared_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(
        EvaluationError, match="there is no model svm; models are logistic_regression"
    ):
        compare(TRAIN, TEST, EvaluationPlan(models=("svm",)))
    with pytest.raises(EvaluationError, match="no row to test on"):
        compare(TRAIN, [], QUICK)
    with pytest.raises(EvaluationError, match="a model needs two labels"):
        compare([row for row in TRAIN if row.label == "praise"], TEST, QUICK)
    with pytest.raises(EvaluationError, match="there is no head 'mood'; heads are need"):
        head_named("mood")


def test_a_head_is_served_as_a_worker_serves_it() -> None:
    head = head_named("sentiment")
    values = {"praise": "positive", "refund": "negative", "delivery": "neutral"}
    rows = tuple(replace(row, label=values[row.label]) for row in TRAIN)
    data = EvaluationData(rows[:60], rows[60:], "log", "latest", head)
    found = evaluate(data, QUICK, online=True, offline=False, on_progress=quiet)
    assert found.served is not None
    assert found.served.test is not None
    assert found.served.prequential_accuracy > found.served.rule_accuracy
    assert found.online is not None
    assert found.online.test is not None
    assert set(found.online.test.answers.labels) <= set(head.labels)


def test_numbers_under_a_chart_do_not_lie_on_each_other() -> None:
    drawn = lines({"a": [(100, 0.5), (980, 0.7), (1_000, 0.75)]}, {"a": "#000"}, bold="a")
    assert re.findall(r">(\d+)</text>", drawn) == ["1000", "100"]
    assert drawn.count("<circle") == 3
    assert lines({}, {}) == '<p class="none">nothing to draw</p>'
