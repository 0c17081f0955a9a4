"""A team's own heads and labels: read from a file, asked, learnt, and refused with words that say
what is wrong.
"""

from pathlib import Path
from typing import Any

import pytest

from pipeline.models.classifier import Classifier, HeadPrediction
from pipeline.models.head_files import HeadsError, read_heads
from pipeline.models.heads import HEADS
from pipeline.models.replica import LearntExample, Replica, rules_version
from pipeline.processors.labels import label_problem

VISA = """
[heads.visa]
en = "about which visa"
zh = "签证类型"
directions = ["inbound"]
threshold = 0.5
precision = 0.8
several = true
minimum_labels = 4
[heads.visa.labels.tourist]
en = "to travel"
zh = "旅游签证"
terms = ["tourist visa", "旅游签证"]
[heads.visa.labels.work]
en = "to work"
terms = ["work permit", "工作签证"]

[heads.need]
threshold = 0.4
[heads.need.labels.visa]
en = "a visa"
zh = "签证"
terms = ["visa", "签证"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "heads.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    return Replica(heads=read_heads(written(tmp_path, VISA)))


def asked(
    classifier: Classifier, text: str, head: str, direction: str = "inbound"
) -> HeadPrediction:
    return classifier.classify([text], [direction])[0][head]


def example(head: str, value: str, text: str) -> dict[str, Any]:
    return {"kind": "example", "head": head, "value": value, "text": text, "weight": 1.0}


@pytest.mark.parametrize(
    ("text", "visa", "need"),
    [
        ("How long does a tourist visa take?", "tourist", "visa"),
        ("请问工作签证需要什么材料", "work", "visa"),
        ("I want a refund", "", "refund_return"),
        ("我要退款", "", "refund_return"),
    ],
)
def test_own_terms_answer_before_learning(
    replica: Replica, text: str, visa: str, need: str
) -> None:
    classifier = replica.classifier()
    assert asked(classifier, text, "visa").label == visa
    assert asked(classifier, text, "need").label == need
    assert asked(classifier, text, "visa", "outbound")[:3] == ("", 0.0, True)


def test_own_head_is_learnt_and_has_several_labels(replica: Replica) -> None:
    for number in range(40):
        work = bool(number % 2)
        event = example(
            "visa", "work" if work else "tourist", f"blorf {number}" if work else f"gnarp {number}"
        )
        assert isinstance(replica.apply(event, number), LearntExample)
    classifier = replica.classifier()
    answer = asked(classifier, "my blorf please", "visa")
    assert (answer.label, answer.source, answer.version) == ("work", "model", replica.version)
    both = asked(classifier, "my blorf please, and also the gnarp there", "visa")
    assert {both.label, *both.also} == {"work", "tourist"}


def test_built_in_head_gets_additional_labels(replica: Replica, tmp_path: Path) -> None:
    need, *others, visa = replica.heads
    assert list(need.labels) == [*HEADS[0].labels, "visa"]
    assert (need.threshold, need.precision) == (0.4, HEADS[0].precision)
    assert others == list(HEADS[1:])
    assert (visa.meaning.zh, visa.labels["work"].zh) == ("签证类型", "to work")
    assert (
        label_problem("visa", "work", replica.heads)
        == label_problem("need", "visa", replica.heads)
        == ""
    )
    assert "none of need" in label_problem("visa", "work")


def test_changed_terms_change_the_version(replica: Replica, tmp_path: Path) -> None:
    other = read_heads(written(tmp_path, VISA.replace("工作签证", "工签")))
    assert Replica(heads=other).recipe != replica.recipe
    assert rules_version(other) != rules_version(replica.heads) != rules_version(HEADS)
    assert read_heads(written(tmp_path, "[heads]")) == HEADS


def test_examples_of_a_removed_head_are_skipped(replica: Replica) -> None:
    plain = Replica()
    refused = plain.apply(example("visa", "work", "x"), 0)
    assert getattr(refused, "code", "") == "unknown_head"
    assert plain.offset == 0


HEAD = '[heads.visa]\nen = "x"\n[heads.visa.labels.a]\nen = "x"\n'
BOTH = HEAD + '[heads.visa.labels.b]\nen = "x"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[heads.visa", "not TOML"),
        ("", "heads: Field required"),
        ("[head.visa]\n", "head"),
        ("[heads.Visa]\nen='x'\n", "heads.Visa"),
        (HEAD, "heads.visa.labels: a head needs two labels or more, but this one has 1"),
        (BOTH.replace('[heads.visa]\nen = "x"', "[heads.visa]"), "heads.visa.en"),
        (BOTH.replace("labels.b", "labels.B-1"), "heads.visa.labels.B-1"),
        (BOTH.replace('en = "x"\n[', 'en = "x"\nthreshold = 1.5\n[', 1), "heads.visa.threshold"),
        (BOTH.replace('en = "x"\n[', 'en = "x"\ncolour = 1\n[', 1), "heads.visa.colour"),
        (BOTH.replace('en = "x"\n[', 'en = "x"\ndirections = ["up"]\n[', 1),
         "heads.visa.directions.0"),
        (BOTH + 'terms = ["  "]\n', "heads.visa.labels.b.terms.0"),
        (BOTH + 'terms = ["\\u200b"]\n', "heads.visa.labels.b: the term"),
        (BOTH.replace("[heads.visa.labels.b]", 'terms = ["q"]\n[heads.visa.labels.b]')
         + 'terms = ["Q"]\n', "heads.visa.labels.b: the term 'Q' already belongs to the label a"),
        ("[heads.need.labels.invoice]\nen='x'\n",
         "heads.need.labels.invoice: need already has this label"),
        ("[heads.need]\nseveral = false\n",
         "heads.need.several: cannot be changed in a built-in head; only"),
    ],
)  # fmt: skip
def test_invalid_file_is_refused_by_file_head_and_field(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(HeadsError) as refused:
        read_heads(written(tmp_path, text))
    assert str(refused.value).startswith(f"{tmp_path / 'heads.toml'}: ")
    assert sentence in str(refused.value)


def test_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadsError, match=r"none\.toml: No such file"):
        read_heads(tmp_path / "none.toml")
    path = tmp_path / "heads.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(HeadsError, match="not UTF-8"):
        read_heads(path)
