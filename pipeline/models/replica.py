"""The replica: all models of one process, a deterministic fold over the examples topic."""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from pipeline.errors import is_caused_by_record
from pipeline.models import abstention
from pipeline.models import features as text_features
from pipeline.models.abstention import ConfidenceHistogram
from pipeline.models.classifier import AnswerSource, Classifier, HeadView, rule_answer, rule_hints
from pipeline.models.features import Features, extract_features
from pipeline.models.heads import HEADS, Head
from pipeline.models.inference import RuleHints
from pipeline.models.label_resolution import (
    RETRACTED,
    LabelDecision,
    LabelEffect,
    LabelResolution,
    label_key,
    label_precedence,
)
from pipeline.models.learner import MAX_IMPORTANCE, Learner
from pipeline.models.learner_settings import LearnerSettings
from pipeline.models.lexicon_files import lexicon
from pipeline.models.lexicon_reading import read_texts
from pipeline.text.normal_form import normalise

EXAMPLE_KINDS: Final = ("example", "retraction")
# Smaller weights have no visible effect, and are below the normal range of float32.
_MINIMUM_WEIGHT: Final = 1e-30
# Increase this whenever the code of the rules changes an answer, because answers are hints to the
# models.
_RULES_VERSION: Final = 2


class LearntExample(NamedTuple):
    """An example that was learnt, with the answers before that (test, then train).

    `served` is the label that readers would have got from `source`; `guess` is the model's and
    `rule` the rule's label ("" for none). It is a fair test only if `effect` is "first"; otherwise
    the head had learnt a label of that record before.
    """

    head: str
    value: str
    served: str
    source: AnswerSource
    guess: str
    rule: str
    effect: LabelEffect


class RecordedLabel(NamedTuple):
    """A label with nothing to learn, which may have changed the effective labels.

    `value` is "" for a retraction.
    """

    head: str
    value: str
    effect: LabelEffect


RefusalCode = Literal[
    "already_folded",
    "unknown_kind",
    "unknown_head",
    "unknown_value",
    "text_missing",
    "weight_invalid",
    "label_invalid",
    "version_unknown",
    "fold_error",
]


class RefusedEvent(NamedTuple):
    """An event that was not folded: a code for metrics, and a sentence."""

    code: RefusalCode
    detail: str


def fold_error(error: Exception) -> RefusedEvent:
    """Return the refusal of an event on which the fold raised."""
    return RefusedEvent("fold_error", f"folding it raised {type(error).__name__}: {error}")


@dataclass(slots=True)
class QualityCounter:
    """Prequential counts: examples tested, and correct answers as served, by model and by rule."""

    count: int = 0
    served_correct: int = 0
    model_correct: int = 0
    rule_correct: int = 0


class QualityKey(NamedTuple):
    """The dimensions by which quality is counted."""

    head: str
    language: str
    channel: str


@dataclass(slots=True)
class _HeadState:
    head: Head
    learner: Learner
    confidences: ConfidenceHistogram = field(default_factory=ConfidenceHistogram)

    @property
    def is_ready(self) -> bool:
        return (
            self.learner.documents >= self.head.minimum_labels
            and int(np.count_nonzero(self.learner.label_counts)) >= self.head.minimum_classes
        )

    @property
    def threshold(self) -> float:
        return self.confidences.threshold(self.head.precision, self.head.threshold)

    def test(self, features: Features, hints: RuleHints, value: str) -> None:
        """Count the model's confidence and whether it is right, before the value is learnt."""
        labels, probabilities = self.learner.predict_proba(features, hints)
        top = float(probabilities.max(initial=0.0))
        if top > 0.0:
            self.confidences.add(top, labels[int(probabilities.argmax())] == value)


@dataclass(slots=True)
class Replica:
    """The fold: apply every event in offset order, and take a `Classifier` for each batch.

    Two replicas of one generation with the same events have the same state, bit by bit, on one
    build. A replica is not safe for use by several threads; its classifiers are.
    """

    generation: int = 0
    heads: tuple[Head, ...] = HEADS
    offset: int = -1
    quality_counters: dict[QualityKey, QualityCounter] = field(default_factory=dict)
    label_resolution: LabelResolution = field(default_factory=LabelResolution)
    _states: dict[str, _HeadState] = field(default_factory=dict)
    _recipe: str = ""
    _latest: weakref.ref[Classifier] | None = None

    def __post_init__(self) -> None:
        """Compute the recipe hash. Raises ValueError if two heads have the same name."""
        names = [head.name for head in self.heads]
        if len(set(names)) != len(names):
            raise ValueError(f"two heads have the same name: {names}")
        self._recipe = recipe_hash(self.heads)

    @property
    def version(self) -> str:
        """The version of predictions: generation, offset of the last event (-1: none), recipe."""
        return f"{self.generation}/{self.offset}/{self._recipe}"

    @property
    def recipe(self) -> str:
        """The hash of all that predictions depend on besides the examples."""
        return self._recipe

    def apply(
        self, event: Mapping[str, Any], offset: int
    ) -> LearntExample | RecordedLabel | RefusedEvent:
        """Fold one example or retraction, or return why not; never raises for an event's content.

        An offset at or below the last one is refused as `already_folded`, so a topic may be read
        again from an earlier offset. A refused event counts as folded. `label_resolution` decides
        which of several labels of one record and head counts; an example without record id and
        label id is always learnt as one more.
        """
        if offset <= self.offset:
            return RefusedEvent("already_folded", f"offset {offset} is not after {self.offset}")
        self.offset = offset
        try:
            return self._apply(event)
        except Exception as error:
            # Every replica raises at the same instruction, so their states stay the same.
            if not is_caused_by_record(error):
                raise
            return fold_error(error)

    def _apply(self, event: Mapping[str, Any]) -> LearntExample | RecordedLabel | RefusedEvent:
        head = self._head_of(event)
        if isinstance(head, RefusedEvent):
            return head
        value = str(event["value"]) if event["kind"] == "example" else RETRACTED
        decision = self._decide(event, value)
        if isinstance(decision, RefusedEvent):
            return decision
        if decision.weight == 0.0:
            return RecordedLabel(head.name, value, decision.effect)
        return self._learn(head, event, value, decision)

    def _decide(self, event: Mapping[str, Any], value: str) -> LabelDecision | RefusedEvent:
        # Rounded as snapshots store it, so that a restored replica continues with the same number.
        weight = float(np.float32(event.get("weight", 1.0))) if value else 0.0
        if value and event.get("record_id") is None and event.get("label_id") is None:
            return LabelDecision("first", weight)
        key, precedence = label_key(event), label_precedence(event)
        if isinstance(key, str):
            return RefusedEvent("label_invalid", key)
        if isinstance(precedence, str):
            return RefusedEvent("label_invalid", precedence)
        return self.label_resolution.add(key, precedence, value, weight)

    def _learn(
        self, head: Head, event: Mapping[str, Any], value: str, decision: LabelDecision
    ) -> LearntExample:
        text = event["text"]
        state = self._states.get(head.name)
        if state is None:
            state = self._states[head.name] = _HeadState(head, Learner(tuple(head.labels)))
        normal = normalise(text)
        rule = rule_answer(head, read_texts([text], [normal])[0])
        served_by_model = state.is_ready
        features, hints = extract_features([normal]), rule_hints(head, [rule])
        # The text of a correction or confirmation was learnt before, so the model's confidence in
        # it says nothing about new texts.
        if decision.effect == "first":
            state.test(features, hints, value)
        guess = state.learner.learn(features, value, decision.weight, hints) or ""
        served = guess if served_by_model else rule.label
        if decision.effect == "first":
            key = QualityKey(
                head.name, str(event.get("language") or ""), str(event.get("channel") or "")
            )
            tally = self.quality_counters.setdefault(key, QualityCounter())
            tally.count += 1
            tally.served_correct += served == value
            tally.model_correct += guess == value
            tally.rule_correct += rule.label == value
        source: AnswerSource = "model" if served_by_model else "rules"
        return LearntExample(head.name, value, served, source, guess, rule.label, decision.effect)

    def quality(self, head: str) -> QualityCounter:
        """Return a head's prequential counts, summed over languages and channels."""
        parts = [tally for key, tally in self.quality_counters.items() if key.head == head]
        return QualityCounter(
            sum(part.count for part in parts),
            sum(part.served_correct for part in parts),
            sum(part.model_correct for part in parts),
            sum(part.rule_correct for part in parts),
        )

    def classifier(self) -> Classifier:
        """Return the models as they are now, for one batch.

        It is not affected by later events: it has copies of the weights. A copy is updated and used
        again once no classifier refers to it, so the cost is that of the rows learnt since.
        """
        latest = self._latest() if self._latest is not None else None
        if latest is not None and latest.version == self.version:
            return latest
        views = tuple(self._view_of(head) for head in self.heads)
        classifier = Classifier(self.version, rules_version(self.heads), views)
        self._latest = weakref.ref(classifier)
        return classifier

    def learners(self) -> dict[str, Learner]:
        """Return the learners of heads with examples, by head name in the table's order."""
        return {
            head.name: self._states[head.name].learner
            for head in self.heads
            if head.name in self._states
        }

    def confidence_histograms(self) -> dict[str, ConfidenceHistogram]:
        """Return each learner's confidence histogram, by head name in the table's order."""
        return {
            head.name: self._states[head.name].confidences
            for head in self.heads
            if head.name in self._states
        }

    def restore_learners(
        self, learners: Mapping[str, Learner], histograms: Mapping[str, ConfidenceHistogram]
    ) -> None:
        """Use restored learners and histograms, by head name.

        Raises ValueError for an unknown head.
        """
        table = {head.name: head for head in self.heads}
        for name, learner in learners.items():
            if name not in table:
                raise ValueError(f"there is no head named {name!r}")
            self._states[name] = _HeadState(table[name], learner, histograms[name])

    def _view_of(self, head: Head) -> HeadView:
        state = self._states.get(head.name)
        if state is None or not state.is_ready:
            return HeadView(head, None, head.threshold)
        return HeadView(head, state.learner.inference_model(), state.threshold)

    def _head_of(self, event: Mapping[str, Any]) -> Head | RefusedEvent:
        kind = event.get("kind")
        if kind not in EXAMPLE_KINDS:
            return RefusedEvent(
                "unknown_kind", f"kind {kind!r} is not one of {', '.join(EXAMPLE_KINDS)}"
            )
        head = next((head for head in self.heads if head.name == event.get("head")), None)
        if head is None:
            return RefusedEvent("unknown_head", f"there is no head named {event.get('head')!r}")
        if kind == "retraction":
            return head
        value, text, weight = event.get("value"), event.get("text"), event.get("weight", 1.0)
        if not isinstance(value, str) or value not in head.labels:
            return RefusedEvent("unknown_value", f"{value!r} is not a label of {head.name}")
        if not isinstance(text, str) or not text.strip():
            return RefusedEvent("text_missing", "an example needs a text")
        if (
            isinstance(weight, bool)
            or not isinstance(weight, int | float)
            or not math.isfinite(weight)
        ):
            return RefusedEvent("weight_invalid", f"weight {weight!r} is not a number")
        if not _MINIMUM_WEIGHT <= weight <= MAX_IMPORTANCE:
            return RefusedEvent(
                "weight_invalid",
                f"weight {weight!r} must be greater than 0 and at most {MAX_IMPORTANCE:g}",
            )
        return head


def recipe_hash(heads: Sequence[Head]) -> str:
    """Return a hash (12 hex digits) of all that predictions depend on besides the examples.

    That is: features, learner, lexicons, rules, heads and abstention.
    """
    table = [
        [
            head.name,
            list(head.labels),
            head.threshold,
            head.minimum_labels,
            head.minimum_classes,
            sorted(head.directions),
            head.precision,
            sorted(head.combinable),
            {label: list(terms) for label, terms in head.terms.items()},
        ]
        for head in heads
    ]
    recipe = {
        "features": text_features.recipe(),
        "learner": asdict(LearnerSettings()),
        "lists": lexicon().version,
        "rules": _RULES_VERSION,
        "heads": table,
        "doubt": abstention.recipe(),
    }
    return sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def rules_version(heads: Sequence[Head]) -> str:
    """Return the version of the rules: that of the lexicons, and of a team's own terms if any."""
    own = {
        head.name: {label: list(terms) for label, terms in head.terms.items()}
        for head in heads
        if head.terms
    }
    if not own:
        return f"rules/{lexicon().version}"
    return f"rules/{lexicon().version}.{sha256(json.dumps(own).encode()).hexdigest()[:8]}"
