"""The models as a deterministic fold over the examples topic."""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple

import numpy as np

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
from pipeline.models.learner import MAX_IMPORTANCE, Learner, LearnerSettings
from pipeline.models.lexicon_files import lexicon
from pipeline.models.lexicon_reading import read_texts
from pipeline.text.normal_form import normalise

EXAMPLE_KINDS: Final = ("example", "retraction")
# Smaller weights teach nothing that shows and are no normal numbers of 32 bits.
_MINIMUM_WEIGHT: Final = 1e-30
# To be raised whenever the code of the rules changes an answer: answers are hints to the models.
_RULES_VERSION: Final = 2


class LearntExample(NamedTuple):
    """An example that was learnt, with what was answered before (test, then train): the label a
    reader would have been served, the model's own guess and the rule's ("" where there was none).

    It is a fair test only where `effect` is "first": else the head had seen a label of that record
    before.
    """

    head: str
    value: str
    served: str
    source: AnswerSource
    guess: str
    rule: str
    effect: LabelEffect


class RecordedLabel(NamedTuple):
    """An event that changed which labels hold, or not even that, and of which there was nothing to
    learn; `value` "": taken back.
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
]


class RefusedEvent(NamedTuple):
    """An event that was not learnt: a code to count by, and what was wrong in words."""

    code: RefusalCode
    detail: str


@dataclass(slots=True)
class QualityCounter:
    """Prequential counts: examples tested, and how many of them the served answer, the model and
    the rule had right.
    """

    count: int = 0
    served_correct: int = 0
    model_correct: int = 0
    rule_correct: int = 0


class QualityKey(NamedTuple):
    """What quality is counted by."""

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
        """Count how sure the model is of its answer, and whether that is right, before the value is
        learnt.
        """
        labels, probabilities = self.learner.predict_proba(features, hints)
        top = float(probabilities.max(initial=0.0))
        if top > 0.0:
            self.confidences.add(top, labels[int(probabilities.argmax())] == value)


@dataclass(slots=True)
class Replica:
    """The fold: feed it every event of the examples topic in offset order, take a `Classifier` for
    each batch.

    Two replicas of one generation that were given the same events hold the same state, bit by bit,
    on one build. Not safe for use by several threads; its classifiers are.
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
        """Work out the recipe."""
        names = [head.name for head in self.heads]
        if len(set(names)) != len(names):
            raise ValueError(f"two heads have one name: {names}")
        self._recipe = recipe_hash(self.heads)

    @property
    def version(self) -> str:
        """Generation, offset of the last event folded (-1: none yet) and recipe, as they stand on
        predictions.
        """
        return f"{self.generation}/{self.offset}/{self._recipe}"

    @property
    def recipe(self) -> str:
        """The hash of everything besides the examples that predictions depend on."""
        return self._recipe

    def apply(
        self, event: Mapping[str, Any], offset: int
    ) -> LearntExample | RecordedLabel | RefusedEvent:
        """Fold one example or retraction, or say why it is not learnt; never raises for an event's
        content.

        An offset at or below the last one is refused as `already_folded`, so a topic may be read
        again from before. A refused event counts as folded. Of several labels of one record and
        head `Held` tells which one holds; an example that names neither record nor label is held by
        nobody, and always one more.
        """
        if offset <= self.offset:
            return RefusedEvent("already_folded", f"offset {offset} is not after {self.offset}")
        self.offset = offset
        head = self._head_of(event)
        if isinstance(head, RefusedEvent):
            return head
        value = str(event["value"]) if event["kind"] == "example" else RETRACTED
        ruling = self._decide(event, value)
        if isinstance(ruling, RefusedEvent):
            return ruling
        if ruling.weight == 0.0:
            return RecordedLabel(head.name, value, ruling.effect)
        return self._learn(head, event, value, ruling)

    def _decide(self, event: Mapping[str, Any], value: str) -> LabelDecision | RefusedEvent:
        # As it is stored in snapshots: a replica that was restored must go on with the same number.
        weight = float(np.float32(event.get("weight", 1.0))) if value else 0.0
        if value and event.get("record_id") is None and event.get("label_id") is None:
            return LabelDecision("first", weight)
        key, standing = label_key(event), label_precedence(event)
        if isinstance(key, str):
            return RefusedEvent("label_invalid", key)
        if isinstance(standing, str):
            return RefusedEvent("label_invalid", standing)
        return self.label_resolution.add(key, standing, value, weight)

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
        # What corrects or confirms was learnt before by this record's text: how sure the model is
        # of it tells nothing of others.
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
        """Return a head's prequential counts over all languages and channels."""
        parts = [tally for key, tally in self.quality_counters.items() if key.head == head]
        return QualityCounter(
            sum(part.count for part in parts),
            sum(part.served_correct for part in parts),
            sum(part.model_correct for part in parts),
            sum(part.rule_correct for part in parts),
        )

    def classifier(self) -> Classifier:
        """Return the models as they stand, for one batch.

        What is folded later does not show in it: a head's weights are frozen in a copy, and that
        copy is brought up to date and given out again only when nobody holds it any more. The cost
        is that of the rows learnt since.
        """
        latest = self._latest() if self._latest is not None else None
        if latest is not None and latest.version == self.version:
            return latest
        views = tuple(self._view_of(head) for head in self.heads)
        classifier = Classifier(self.version, rules_version(self.heads), views)
        self._latest = weakref.ref(classifier)
        return classifier

    def learners(self) -> dict[str, Learner]:
        """Return the learners of the heads that have learnt something, by head name in the table's
        order.
        """
        return {
            head.name: self._states[head.name].learner
            for head in self.heads
            if head.name in self._states
        }

    def confidence_histograms(self) -> dict[str, ConfidenceHistogram]:
        """Return what is known of each learner's confidences, by head name in the table's order."""
        return {
            head.name: self._states[head.name].confidences
            for head in self.heads
            if head.name in self._states
        }

    def restore_learners(
        self, learners: Mapping[str, Learner], histograms: Mapping[str, ConfidenceHistogram]
    ) -> None:
        """Take over restored learners and their doubts, by head name. Raises ValueError for a head
        that is not in the table.
        """
        table = {head.name: head for head in self.heads}
        for name, learner in learners.items():
            if name not in table:
                raise ValueError(f"there is no head {name!r}")
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
                "unknown_kind", f"kind {kind!r} is none of {', '.join(EXAMPLE_KINDS)}"
            )
        head = next((head for head in self.heads if head.name == event.get("head")), None)
        if head is None:
            return RefusedEvent("unknown_head", f"there is no head {event.get('head')!r}")
        if kind == "retraction":
            return head
        value, text, weight = event.get("value"), event.get("text"), event.get("weight", 1.0)
        if not isinstance(value, str) or value not in head.labels:
            return RefusedEvent("unknown_value", f"{value!r} is no label of {head.name}")
        if not isinstance(text, str) or not text.strip():
            return RefusedEvent("text_missing", "an example needs a text")
        if (
            isinstance(weight, bool)
            or not isinstance(weight, int | float)
            or not math.isfinite(weight)
        ):
            return RefusedEvent("weight_invalid", f"weight {weight!r} is no number")
        if not _MINIMUM_WEIGHT <= weight <= MAX_IMPORTANCE:
            return RefusedEvent(
                "weight_invalid",
                f"weight {weight!r} is not over 0 and at most {MAX_IMPORTANCE:g}",
            )
        return head


def recipe_hash(heads: Sequence[Head]) -> str:
    """Return 12 hex digits over all that predictions depend on besides the examples: features,
    learner, lists, heads.
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
    """Return the version of what rules say: that of the lists, and of a team's own terms where
    there are any.
    """
    own = {
        head.name: {label: list(terms) for label, terms in head.terms.items()}
        for head in heads
        if head.terms
    }
    if not own:
        return f"rules/{lexicon().version}"
    return f"rules/{lexicon().version}.{sha256(json.dumps(own).encode()).hexdigest()[:8]}"
