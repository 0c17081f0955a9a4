"""The models as a deterministic fold over the examples topic, and what answers from them."""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from pipeline.models import features as text_features
from pipeline.models.characters import normalise
from pipeline.models.features import Features, extract
from pipeline.models.heads import HEADS, Head
from pipeline.models.held import TAKEN_BACK, Effect, Held, Ruling, key_of, standing_of
from pipeline.models.learner import GREATEST_IMPORTANCE, FrozenLearner, Hints, Learner, LearnerSettings
from pipeline.models.rules import NO_ANSWER, Reading, RuleAnswer, read
from pipeline.models.terms import lexicon

Source = Literal["rules", "model"]
EXAMPLE_KINDS: Final = ("example", "retraction")
# Smaller weights teach nothing that shows and are no normal numbers of 32 bits.
_LEAST_WEIGHT: Final = 1e-30


class Prediction(NamedTuple):
    """One head's answer about one text.

    `label` is the best guess also where the head abstains; it is "" where the head does not apply to the text's
    direction or nothing speaks for any label. `probability` is 0 to 1. `version` names what answered: "rules/<lists>"
    or "<generation>/<offset>/<recipe>".
    """

    label: str
    probability: float
    abstained: bool
    version: str
    source: Source


class Applied(NamedTuple):
    """An example that was learnt, with what was answered before (test, then train): the label a reader would have been
    served, the model's own guess and the rule's ("" where there was none).

    It is a fair test only where `effect` is "first": else the head had seen a label of that record before.
    """

    head: str
    value: str
    served: str
    source: Source
    guess: str
    rule: str
    effect: Effect


class Noted(NamedTuple):
    """An event that changed which labels hold, or not even that, and of which there was nothing to learn; `value` "": taken back."""

    head: str
    value: str
    effect: Effect


RefusalCode = Literal[
    "already_folded",
    "unknown_kind",
    "unknown_head",
    "unknown_value",
    "text_missing",
    "weight_invalid",
    "label_invalid",
    "version_unknown",
]


class Refused(NamedTuple):
    """An event that was not learnt: a code to count by, and what was wrong in words."""

    code: RefusalCode
    detail: str


@dataclass(slots=True)
class Tally:
    """Prequential counts: examples tested, and how many of them the served answer, the model and the rule had right."""

    count: int = 0
    served_correct: int = 0
    model_correct: int = 0
    rule_correct: int = 0


class TallyKey(NamedTuple):
    """What quality is counted by."""

    head: str
    language: str
    channel: str


@dataclass(frozen=True, slots=True)
class _HeadView:
    """One head within a classifier: its model once that may answer, else None."""

    head: Head
    model: FrozenLearner | None


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Classifier:
    """The models as they stood at one offset. It never changes, whatever the replica folds afterwards, and may be used
    by several threads."""

    version: str
    rules_version: str
    _views: tuple[_HeadView, ...]

    def classify(self, texts: Sequence[str], directions: Sequence[str]) -> list[dict[str, Prediction]]:
        """Return every head's answer about each text, by head name, in the order of the texts.

        `directions` are "inbound", "outbound", "internal" or "" (unknown), one for each text. An answer depends on its
        text, its direction and the version alone. Raises ValueError when the lengths differ.
        """
        if len(texts) != len(directions):
            raise ValueError(f"{len(texts)} texts but {len(directions)} directions")
        normal = [normalise(text) for text in texts]
        readings = [read(text, form) for text, form in zip(texts, normal, strict=True)]
        extracted = extract(normal) if any(view.model is not None for view in self._views) else None
        columns = [self._answer(view, readings, directions, extracted) for view in self._views]
        names = [view.head.name for view in self._views]
        if not columns:
            return [{} for _ in texts]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def answering(self) -> set[str]:
        """Return the names of the heads whose models answer; rules answer for the others."""
        return {view.head.name for view in self._views if view.model is not None}

    def explain(self, text: str) -> dict[str, RuleAnswer]:
        """Return what the rules say of a text, with the terms that led to it, by head name."""
        reading = read(text)
        return {view.head.name: _rule_answer(view.head, reading) for view in self._views}

    def _answer(
        self, view: _HeadView, readings: Sequence[Reading], directions: Sequence[str], extracted: Features | None
    ) -> list[Prediction]:
        head = view.head
        version = self.rules_version if view.model is None else self.version
        source: Source = "rules" if view.model is None else "model"
        silent = Prediction("", 0.0, True, version, source)
        answers = [
            _rule_answer(head, reading) if head.applies_to(direction) else NO_ANSWER
            for reading, direction in zip(readings, directions, strict=True)
        ]
        if view.model is None or extracted is None:
            return [
                Prediction(answer.label, answer.confidence, answer.confidence < head.threshold, version, source)
                if answer.label
                else silent
                for answer in answers
            ]
        labels = view.model.labels
        probabilities = view.model.predict_proba(extracted, _hints(head, answers))
        best = probabilities.argmax(axis=1).tolist()
        tops = probabilities.max(axis=1).tolist()
        return [
            Prediction(labels[place], top, top < head.threshold, version, source)
            if reading.tokens and head.applies_to(direction)
            else silent
            for place, top, reading, direction in zip(best, tops, readings, directions, strict=True)
        ]


@dataclass(slots=True)
class _HeadState:
    head: Head
    learner: Learner

    @property
    def may_answer(self) -> bool:
        return (
            self.learner.documents >= self.head.minimum_labels
            and int(np.count_nonzero(self.learner.seen)) >= self.head.minimum_classes
        )


@dataclass(slots=True)
class Replica:
    """The fold: feed it every event of the examples topic in offset order, take a `Classifier` for each batch.

    Two replicas of one generation that were given the same events hold the same state, bit by bit, on one build. Not
    safe for use by several threads; its classifiers are.
    """

    generation: int = 0
    heads: tuple[Head, ...] = HEADS
    offset: int = -1
    tallies: dict[TallyKey, Tally] = field(default_factory=dict)
    held: Held = field(default_factory=Held)
    _states: dict[str, _HeadState] = field(default_factory=dict)
    _recipe: str = ""
    _latest: weakref.ref[Classifier] | None = None

    def __post_init__(self) -> None:
        """Work out the recipe."""
        names = [head.name for head in self.heads]
        if len(set(names)) != len(names):
            raise ValueError(f"two heads have one name: {names}")
        self._recipe = recipe_hash(self.heads)

    @property
    def version(self) -> str:
        """Generation, offset of the last event folded (-1: none yet) and recipe, as they stand on predictions."""
        return f"{self.generation}/{self.offset}/{self._recipe}"

    @property
    def recipe(self) -> str:
        """The hash of everything besides the examples that predictions depend on."""
        return self._recipe

    def apply(self, event: Mapping[str, Any], offset: int) -> Applied | Noted | Refused:
        """Fold one example or retraction, or say why it is not learnt; never raises for an event's content.

        An offset at or below the last one is refused as `already_folded`, so a topic may be read again from before. A
        refused event counts as folded. Of several labels of one record and head `Held` tells which one holds; an example that
        names neither record nor label is held by nobody, and always one more.
        """
        if offset <= self.offset:
            return Refused("already_folded", f"offset {offset} is not after {self.offset}")
        self.offset = offset
        head = self._head_of(event)
        if isinstance(head, Refused):
            return head
        value = str(event["value"]) if event["kind"] == "example" else TAKEN_BACK
        ruling = self._ruling(event, value)
        if isinstance(ruling, Refused):
            return ruling
        if ruling.weight == 0.0:
            return Noted(head.name, value, ruling.effect)
        return self._learn(head, event, value, ruling)

    def _ruling(self, event: Mapping[str, Any], value: str) -> Ruling | Refused:
        # As it is stored in snapshots: a replica that was restored must go on with the same number.
        weight = float(np.float32(event.get("weight", 1.0))) if value else 0.0
        if value and event.get("record_id") is None and event.get("label_id") is None:
            return Ruling("first", weight)
        key, standing = key_of(event), standing_of(event)
        if isinstance(key, str):
            return Refused("label_invalid", key)
        if isinstance(standing, str):
            return Refused("label_invalid", standing)
        return self.held.take(key, standing, value, weight)

    def _learn(self, head: Head, event: Mapping[str, Any], value: str, ruling: Ruling) -> Applied:
        text = event["text"]
        state = self._states.get(head.name)
        if state is None:
            state = self._states[head.name] = _HeadState(head, Learner(tuple(head.labels)))
        normal = normalise(text)
        rule = _rule_answer(head, read(text, normal))
        served_by_model = state.may_answer
        guess = state.learner.learn(extract([normal]), value, ruling.weight, _hints(head, [rule])) or ""
        served = guess if served_by_model else rule.label
        if ruling.effect == "first":
            key = TallyKey(head.name, str(event.get("language") or ""), str(event.get("channel") or ""))
            tally = self.tallies.setdefault(key, Tally())
            tally.count += 1
            tally.served_correct += served == value
            tally.model_correct += guess == value
            tally.rule_correct += rule.label == value
        source: Source = "model" if served_by_model else "rules"
        return Applied(head.name, value, served, source, guess, rule.label, ruling.effect)

    def quality(self, head: str) -> Tally:
        """Return a head's prequential counts over all languages and channels."""
        parts = [tally for key, tally in self.tallies.items() if key.head == head]
        return Tally(
            sum(part.count for part in parts),
            sum(part.served_correct for part in parts),
            sum(part.model_correct for part in parts),
            sum(part.rule_correct for part in parts),
        )

    def snapshot(self) -> Classifier:
        """Return the models as they stand, for one batch.

        What is folded later does not show in it: a head's weights are frozen in a copy, and that copy is brought up to
        date and given out again only when nobody holds it any more. The cost is that of the rows learnt since.
        """
        latest = self._latest() if self._latest is not None else None
        if latest is not None and latest.version == self.version:
            return latest
        views = tuple(_HeadView(head, self._model_of(head.name)) for head in self.heads)
        classifier = Classifier(self.version, f"rules/{lexicon().version}", views)
        self._latest = weakref.ref(classifier)
        return classifier

    def learners(self) -> dict[str, Learner]:
        """Return the learners of the heads that have learnt something, by head name in the table's order."""
        return {head.name: self._states[head.name].learner for head in self.heads if head.name in self._states}

    def adopt(self, learners: Mapping[str, Learner]) -> None:
        """Take over restored learners, by head name. Raises ValueError for a head that is not in the table."""
        table = {head.name: head for head in self.heads}
        for name, learner in learners.items():
            if name not in table:
                raise ValueError(f"there is no head {name!r}")
            self._states[name] = _HeadState(table[name], learner)

    def _model_of(self, name: str) -> FrozenLearner | None:
        state = self._states.get(name)
        return state.learner.freeze() if state is not None and state.may_answer else None

    def _head_of(self, event: Mapping[str, Any]) -> Head | Refused:
        kind = event.get("kind")
        if kind not in EXAMPLE_KINDS:
            return Refused("unknown_kind", f"kind {kind!r} is none of {', '.join(EXAMPLE_KINDS)}")
        head = next((head for head in self.heads if head.name == event.get("head")), None)
        if head is None:
            return Refused("unknown_head", f"there is no head {event.get('head')!r}")
        if kind == "retraction":
            return head
        value, text, weight = event.get("value"), event.get("text"), event.get("weight", 1.0)
        if not isinstance(value, str) or value not in head.labels:
            return Refused("unknown_value", f"{value!r} is no label of {head.name}")
        if not isinstance(text, str) or not text.strip():
            return Refused("text_missing", "an example needs a text")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            return Refused("weight_invalid", f"weight {weight!r} is no number")
        if not _LEAST_WEIGHT <= weight <= GREATEST_IMPORTANCE:
            return Refused("weight_invalid", f"weight {weight!r} is not over 0 and at most {GREATEST_IMPORTANCE:g}")
        return head


def recipe_hash(heads: Sequence[Head]) -> str:
    """Return 12 hex digits over all that predictions depend on besides the examples: features, learner, lists, heads."""
    table = [
        [
            head.name,
            list(head.labels),
            head.threshold,
            head.minimum_labels,
            head.minimum_classes,
            sorted(head.directions),
        ]
        for head in heads
    ]
    recipe = {
        "features": text_features.recipe(),
        "learner": asdict(LearnerSettings()),
        "lists": lexicon().version,
        "rules": _RULES_VERSION,
        "heads": table,
    }
    return sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


# To be raised whenever the code of the rules changes an answer: answers are hints to the models.
_RULES_VERSION: Final = 1


def _rule_answer(head: Head, reading: Reading) -> RuleAnswer:
    return NO_ANSWER if head.rule is None else head.rule(reading)


def _hints(head: Head, answers: Sequence[RuleAnswer]) -> Hints:
    places = {label: place for place, label in enumerate(head.labels)}
    return Hints(
        np.array([places.get(answer.label, -1) for answer in answers], dtype=np.int64),
        # Silence of the rule is a hint of its own, at full strength.
        np.array([answer.confidence if answer.label else 1.0 for answer in answers], dtype=np.float32),
    )
