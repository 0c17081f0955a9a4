"""`evaluate` on files and on the examples of a head, and its page in a browser."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipeline.models.evaluation.labelled_rows import LabelledRow
from tests.e2e.conftest import Browser, Command
from tests.support.labelled_texts import labelled_texts

_VALUES = {"praise": "positive", "refund": "negative", "delivery": "neutral"}


def written(path: Path, rows: list[LabelledRow], *more: str) -> Path:
    """Write rows as JSONL, and further lines as they are."""
    fields = ("text", "label", "language", "channel")
    lines = [
        json.dumps({name: asdict(row)[name] for name in fields}, ensure_ascii=False) for row in rows
    ]
    path.write_text("\n".join([*lines, *more]) + "\n", "utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    train, test = labelled_texts(90), labelled_texts(30, seed=2)
    return written(tmp_path / "train.jsonl", train), written(tmp_path / "test.jsonl", test)


def test_online_evaluation_prints_every_measure_as_json(
    switchboard: Command, files: tuple[Path, Path]
) -> None:
    train, test = files
    done = switchboard("evaluate", "--online", "--train", train, "--test", test, "--json")
    found = json.loads(done.stdout)
    assert "offline" not in found
    for name in (
        "prequential_accuracy",
        "prequential_macro_f1",
        "test_accuracy",
        "test_macro_f1",
        "calibration_error",
    ):
        assert 0 <= found["online"][name] <= 1
    assert 0.5 < found["online"]["accuracy_at_80_coverage"] <= 1
    assert all(found["online"][f"{part}_us"] > 0 for part in ("features", "predict", "learn"))
    assert {(group["language"], group["channel"]) for group in found["online"]["test_groups"]} == {
        (language, channel) for language in ("en", "zh") for channel in ("chat", "email")
    }
    again = json.loads(
        switchboard("evaluate", "--online", "--train", train, "--test", test, "--json").stdout
    )
    times = ("features_us", "predict_us", "learn_us")
    assert {k: v for k, v in again["online"].items() if k not in times} == {
        k: v for k, v in found["online"].items() if k not in times
    }
    alone = json.loads(switchboard("evaluate", "--online", "--train", train, "--json").stdout)
    assert alone["online"]["test_accuracy"] is None
    assert alone["online"]["prequential_accuracy"] == found["online"]["prequential_accuracy"]


def test_a_browser_shows_the_evaluation_page_without_errors(
    switchboard: Command, files: tuple[Path, Path], tmp_path: Path, browser: Browser
) -> None:
    train, test = files
    page = tmp_path / "out" / "models.html"
    models = "linear_svm,naive_bayes"
    done = switchboard(
        "evaluate",
        "--train",
        train,
        "--test",
        test,
        "--models",
        models,
        "--folds",
        "2",
        "--out",
        page,
    )
    for words in (
        "Online model",
        "Linear SVM",
        "Naive Bayes",
        "Test macro-F1 % by training rows",
        "chi²",
    ):
        assert words in done.stdout
    assert str(page) in done.stderr
    document = browser.document(page)
    for words in (
        "Model evaluation",
        "prequential accuracy",
        "Feature selection",
        "Classification report",
        "delivery",
    ):
        assert words in document
    browser.take_picture(page, tmp_path / "models.png")


def test_a_promoted_file_is_learnt_once_and_evaluated_from_the_log(
    switchboard: Command, tmp_path: Path
) -> None:
    rows = [replace(row, label=_VALUES[row.label]) for row in labelled_texts(60)]
    train = written(tmp_path / "train.jsonl", rows)
    promote = (
        "evaluate",
        "--offline",
        "--train",
        train,
        "--head",
        "sentiment",
        "--models",
        "naive_bayes",
    )
    promote += ("--folds", "2", "--promote", "--json")
    first = json.loads(switchboard(*promote).stdout)
    assert first["data"]["test_rows"] == 12
    assert first["promoted"]["added"] > 30
    assert first["promoted"]["model"] == first["offline"]["winner"]
    second = json.loads(switchboard(*promote).stdout)
    assert (second["promoted"]["added"], second["promoted"]["already"]) == (
        0,
        first["promoted"]["added"],
    )
    judged = json.loads(switchboard("evaluate", "--head", "sentiment", "--online", "--json").stdout)
    assert judged["data"]["train_rows"] + judged["data"]["test_rows"] == first["promoted"]["added"]
    assert judged["served"]["prequential_accuracy"] > 0
    both = switchboard("evaluate", "--head", "sentiment", "--models", "naive_bayes", "--folds", "2")
    assert "examples log, head sentiment" in both.stdout
    assert "As in production" in both.stdout


def test_bad_lines_are_named_and_skipped_or_rejected(switchboard: Command, tmp_path: Path) -> None:
    train = written(tmp_path / "train.jsonl", labelled_texts(12), "{", '{"text": "", "label": "x"}')
    done = switchboard("evaluate", "--online", "--train", train, "--json")
    assert f"{train}:13: not JSON" in done.stderr
    assert f"{train}:14: text: empty" in done.stderr
    found = json.loads(done.stdout)
    assert (found["data"]["train_rows"], found["data"]["refused"]) == (12, 2)
    assert found["data"]["refused_lines"][1] == {
        "file": str(train),
        "line": 14,
        "field": "text",
        "detail": "empty",
    }
    refused = switchboard("evaluate", "--online", "--train", train, "--strict", code=1)
    assert "nothing was evaluated, for 2 bad lines" in refused.stderr
    assert refused.stdout == ""


def test_errors_of_evaluate_say_what_to_do(switchboard: Command, tmp_path: Path) -> None:
    one = written(tmp_path / "one.jsonl", [replace(row, label="same") for row in labelled_texts(9)])
    for arguments, code, words in (
        ((), 2, "name a file with --train, or a head"),
        (("--test", one), 2, "name a file with --train"),
        (("--head", "spam", "--test", one), 2, "--test needs --train"),
        (("--promote", "--train", one), 2, "--promote needs --offline, --train and the --head"),
        (("--train", tmp_path / "none.jsonl"), 1, "none.jsonl"),
        (("--train", one), 1, "a model needs two labels"),
        (("--train", one, "--head", "mood"), 1, "there is no head 'mood'"),
        (("--train", one, "--head", "spam"), 1, "'same' is not one of ham, spam"),
        (("--head", "spam"), 1, "the examples log contains no label of spam"),
        (("--train", one, "--offline", "--models", "oracle"), 1, "unknown model oracle"),
    ):
        assert words in switchboard("evaluate", *arguments, code=code).stderr
    online = switchboard("evaluate", "--online", "--train", one)
    assert "a model needs two or more" in online.stderr
