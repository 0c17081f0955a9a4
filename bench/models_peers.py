"""The peers of the models' benchmark on the same rows: scikit-learn, river and Vowpal Wabbit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from models_data import Parts, Rows
from models_measures import NAN, Result, percent

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench.peers.environments import PeerUnavailableError, python_of

# scikit-learn copies its dense weights in each call (2^18 features × classes), so one text per call
# would take hours.
SKLEARN_BATCH = 32
# river needs up to 67 ms per text with 77 classes: it gets this much time per data set, and its
# figures are of the texts it reached.
RIVER_SECONDS = 15.0
# These separate fields in Vowpal Wabbit's text format.
_RESERVED = re.compile(r"[:|\s]+")
# The best of these by prequential accuracy represents Vowpal Wabbit on each data set, while ours
# has one setting for all: its default squared loss, and logistic and hinge loss, which its manual
# advises for classes, at three rates, on words and on the characters within them as ours; and two
# of them on words alone. Chinese is characters either way.
VW_SETTINGS = (
    "--loss_function squared -l 0.5",
    "--loss_function logistic -l 0.5",
    "--loss_function logistic -l 1.5",
    "--loss_function logistic -l 5",
    "--loss_function hinge -l 0.5",
    "--loss_function hinge -l 1.5",
)
VW_WORDS_ALONE = (
    "--loss_function logistic -l 0.5 --ignore c",
    "--loss_function hinge -l 1.5 --ignore c",
)
_CHARACTERS = (3, 4, 5)


def run_sklearn(parts: Parts, chinese: bool) -> Result:
    """Return the result of HashingVectorizer and SGDClassifier in one pass, in batches."""
    last = _sklearn_pass(parts.learnt, parts.unseen, chinese)
    whole = last if parts.learnt is parts.stream else _sklearn_pass(parts.stream, [], chinese)
    return Result(whole[0], last[1], NAN, NAN, *whole[2:])


def _sklearn_pass(
    rows: Rows, unseen: Rows, chinese: bool
) -> tuple[float, float, float, float, float]:
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import SGDClassifier

    grams = (
        {"analyzer": "char", "ngram_range": (1, 3)}
        if chinese
        else {"analyzer": "word", "ngram_range": (1, 2)}
    )
    vectorizer = HashingVectorizer(n_features=2**18, alternate_sign=False, **grams)
    # alpha 1e-4, the default, was the best of five settings tried on two sets.
    model = SGDClassifier(loss="log_loss", alpha=1e-4, random_state=7)
    truths = np.array([truth for _, truth in rows])
    classes = np.unique(truths)
    start = time.process_time()
    matrix = vectorizer.transform([text for text, _ in rows])
    features_s = time.process_time() - start
    right: list[bool] = []
    predict_s = learn_s = 0.0
    for first in range(0, len(rows), SKLEARN_BATCH):
        part, labels = matrix[first : first + SKLEARN_BATCH], truths[first : first + SKLEARN_BATCH]
        start = time.process_time()
        right += (model.predict(part) == labels).tolist() if first else [False] * len(labels)
        middle = time.process_time()
        model.partial_fit(part, labels, classes)
        predict_s += middle - start
        learn_s += time.process_time() - middle
    test_accuracy = NAN
    if unseen:
        answers = model.predict(vectorizer.transform([text for text, _ in unseen]))
        test_accuracy = percent((answers == np.array([truth for _, truth in unseen])).tolist())
    scale = 1e6 / len(rows)
    return (
        percent(right),
        test_accuracy,
        features_s * scale,
        predict_s * scale,
        (predict_s + learn_s) * scale,
    )


def run_river(parts: Parts, chinese: bool) -> Result:
    """Return the result of river's TF-IDF and one-vs-rest logistic regression within the time."""
    from river import feature_extraction, linear_model, multiclass, optim

    grams = {"on": "text", "ngram_range": (1, 2)}
    if chinese:
        grams |= {"tokenizer": list}
    vectorizer = feature_extraction.TFIDF(**grams)
    model = multiclass.OneVsRestClassifier(linear_model.LogisticRegression(optim.AdaGrad(0.5)))
    right: list[bool] = []
    features_s = predict_s = learn_s = 0.0
    for text, truth in parts.stream:
        start = time.process_time()
        vectorizer.learn_one({"text": text})
        features = vectorizer.transform_one({"text": text})
        done = time.process_time()
        right.append(model.predict_one(features) == truth)
        answered = time.process_time()
        model.learn_one(features, truth)
        features_s += done - start
        predict_s += answered - done
        learn_s += time.process_time() - answered
        if features_s + predict_s + learn_s > RIVER_SECONDS:
            break
    scale = 1e6 / len(right)
    # No accuracy on unseen texts: a model of a tenth of the stream says nothing about the whole.
    return Result(
        percent(right),
        NAN,
        NAN,
        NAN,
        features_s * scale,
        predict_s * scale,
        (predict_s + learn_s) * scale,
    )


def run_vw(parts: Parts, chinese: bool) -> Result:
    """Return the result of Vowpal Wabbit's best setting; raises PeerUnavailableError."""
    known = dict.fromkeys(label for _, label in (*parts.stream, *parts.unseen))
    names = {label: number for number, label in enumerate(known, start=1)}

    def lines(rows: Rows) -> list[tuple[int, str]]:
        return [(names[label], _vw_text(text, chinese)) for text, label in rows]

    job = {
        "settings": VW_SETTINGS if chinese else (*VW_SETTINGS, *VW_WORDS_ALONE),
        "ngram": 3 if chinese else 2,
        "classes": len(names),
        "stream": lines(parts.stream),
        # The learnt rows are the first of the stream.
        "learnt": len(parts.learnt),
        "unseen": lines(parts.unseen),
    }
    program = Path(__file__).with_name("peers") / "run_vw.py"
    command = [str(python_of("vw")), str(program)]
    done = subprocess.run(
        command, input=json.dumps(job), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PeerUnavailableError(f"vw: {done.stderr.strip()[-600:]}")
    best = json.loads(done.stdout)
    return Result(
        best["prequential"],
        best["unseen"],
        NAN,
        NAN,
        best["parse_us"],
        best["predict_us"],
        best["learn_us"],
    )


def _vw_text(text: str, chinese: bool) -> str:
    """Return a text as namespaces: `w` words or Chinese characters, `c` character n-grams."""
    if chinese:
        return f"|w {_RESERVED.sub(' ', ' '.join(text))}"
    words = re.findall(r"\w+(?:'\w+)*|[^\w\s]+", text.lower())
    edged = (f"_{word}_" for word in words if word[0].isalnum())
    grams = (
        word[at : at + size]
        for word in edged
        for size in _CHARACTERS
        for at in range(len(word) - size + 1)
    )
    return f"|w {_RESERVED.sub(' ', ' '.join(words))} |c {_RESERVED.sub(' ', ' '.join(grams))}"


PEERS: dict[str, Callable[[Parts, bool], Result]] = {
    "vw": run_vw,
    "sklearn": run_sklearn,
    "river": run_river,
}
