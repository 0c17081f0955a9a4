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
from tests.support.labelled_texts import labelled_texts

TRAIN, TEST = labelled_texts(90), labelled_texts(45, seed=2)
QUICK = EvaluationPlan(models=("naive_bayes",), folds=2)


def quiet(_what: str, _done: int, _total: int) -> None:
    return None


def chosen(comparison: Comparison) -> dict[str, Any]:
    """Return what was result on training rows alone."""
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


def test_every_offline_model_is_compared_with_the_online_model(whole: Evaluation) -> None:
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
        right = sum(counts[index] for index, counts in enumerate(row.confusion.counts))
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


def test_budget_limits_are_reported(whole: Evaluation) -> None:
    assert whole.comparison is not None
    for row in whole.comparison.contenders:
        if row.kind == "offline":
            assert any("after 1 of 2 folds" in note for note in row.notes)
            assert any("budget ended its search after 1 of" in note for note in row.notes)


def test_json_has_the_figures_of_the_page(whole: Evaluation, tmp_path: Path) -> None:
    result = json.loads(json.dumps(as_json(whole)))
    online = result["online"]
    assert whole.online is not None
    assert online["prequential_accuracy"] == whole.online.prequential.scores.accuracy
    assert result["data"]["train_rows"] == len(TRAIN)
    assert result["data"]["test_rows_seen_in_training"] == count_known_texts(TRAIN, TEST)
    assert result["offline"]["winner"] == result["offline"]["models"][0]["name"]
    page = write_page(
        whole, tmp_path / "new" / "page.html", datetime(2026, 11, 1, tzinfo=UTC)
    ).read_text("utf-8")
    for model in result["offline"]["models"]:
        assert model["title"] in page
        assert f"{100 * model['test']['accuracy']:.1f}" in page
    assert "2026-11-01 00:00 UTC" in page
    assert "<script" not in page


def test_page_escapes_customer_text(tmp_path: Path) -> None:
    label = "<script>alert(1)</script>"
    rows = [
        LabelledRow(f"{word} {label} {n}", label if word == "on" else "</main>", "<b>", '"')
        for n in range(9)
        for word in ("on", "off")
    ]
    data = EvaluationData(tuple(rows), tuple(rows), "<i>train</i>", "test")
    result = evaluate(data, QUICK, online=True, offline=True, on_progress=quiet)
    page = write_page(result, tmp_path / "page.html", datetime(2026, 11, 1, tzinfo=UTC)).read_text(
        "utf-8"
    )
    assert "<script" not in page
    assert page.count("</main>") == 1
    assert "<i>train" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_test_rows_do_not_influence_training() -> None:
    first = compare(TRAIN, TEST, QUICK)
    turned = [replace(row, label="refund", text=row.text[::-1]) for row in TEST[:9]]
    assert chosen(compare(TRAIN, turned, QUICK)) == chosen(first)


def test_results_depend_on_the_seed_alone() -> None:
    first, second = compare(TRAIN, TEST, QUICK), compare(TRAIN, TEST, QUICK)
    assert chosen(first) == chosen(second)
    assert [row.test for row in first.contenders] == [row.test for row in second.contenders]
    other = compare(TRAIN, TEST, replace(QUICK, seed=8))
    assert chosen(other)["models"] != chosen(first)["models"]


def test_rare_labels_and_repeated_texts_are_reported() -> None:
    rows = [
        *TRAIN,
        LabelledRow("only once", "rare"),
        LabelledRow("twice", "scarce"),
        LabelledRow("twice over", "scarce"),
    ]
    result = compare(rows, [*TEST, TRAIN[0]], replace(QUICK, folds=3))
    assert any(
        "labels with fewer than 3 training rows" in note and "rare, scarce" in note
        for note in result.notes
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
    assert any("instead of 9" in note for note in few.notes)


def test_impossible_comparison_is_refused_before_training() -> None:
    with pytest.raises(EvaluationError, match="unknown model svm: choose of logistic_regression"):
        compare(TRAIN, TEST, EvaluationPlan(models=("svm",)))
    with pytest.raises(EvaluationError, match="no test rows"):
        compare(TRAIN, [], QUICK)
    with pytest.raises(EvaluationError, match="a model needs two labels"):
        compare([row for row in TRAIN if row.label == "praise"], TEST, QUICK)
    with pytest.raises(EvaluationError, match="there is no head 'mood'; the heads are need"):
        head_named("mood")


def test_served_quality_equals_that_of_a_worker() -> None:
    head = head_named("sentiment")
    values = {"praise": "positive", "refund": "negative", "delivery": "neutral"}
    rows = tuple(replace(row, label=values[row.label]) for row in TRAIN)
    data = EvaluationData(rows[:60], rows[60:], "log", "latest", head)
    result = evaluate(data, QUICK, online=True, offline=False, on_progress=quiet)
    assert result.served is not None
    assert result.served.test is not None
    assert result.served.prequential_accuracy > result.served.rule_accuracy
    assert result.online is not None
    assert result.online.test is not None
    assert set(result.online.test.answers.labels) <= set(head.labels)


def test_chart_labels_do_not_overlap() -> None:
    drawn = lines({"a": [(100, 0.5), (980, 0.7), (1_000, 0.75)]}, {"a": "#000"}, bold="a")
    assert re.findall(r">(\d+)</text>", drawn) == ["1000", "100"]
    assert drawn.count("<circle") == 3
    assert lines({}, {}) == '<p class="none">No data</p>'
