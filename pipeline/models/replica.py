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

from pipeline.models import doubt
from pipeline.models import features as text_features
from pipeline.models.characters import normalise
from pipeline.models.clauses import Sure, clauses, together
from pipeline.models.doubt import Doubt
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
    or "<generation>/<offset>/<recipe>". `also` are the further labels of a text that asks several things.
    """

    label: str
    probability: float
    abstained: bool
    version: str
    source: Source
    also: tuple[str, ...] = ()


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
class HeadView:
    """One head within a classifier: its model once that may answer, else None, and below which probability it abstains."""

    head: Head
    model: FrozenLearner | None
    threshold: float


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Classifier:
    """The models as they stood at one offset. It never changes, whatever the replica folds afterwards, and may be used
    by several threads."""

    version: str
    rules_version: str
    views: tuple[HeadView, ...]

    def classify(self, texts: Sequence[str], directions: Sequence[str]) -> list[dict[str, Prediction]]:
        """Return every head's answer about each text, by head name, in the order of the texts.

        `directions` are "inbound", "outbound", "internal" or "" (unknown), one for each text. An answer depends on its
        text, its direction and the version alone. Raises ValueError when the lengths differ.
        """
        if len(texts) != len(directions):
            raise ValueError(f"{len(texts)} texts but {len(directions)} directions")
        normal = [normalise(text) for text in texts]
        readings = [read(text, form) for text, form in zip(texts, normal, strict=True)]
        extracted = extract(normal) if any(view.model is not None for view in self.views) else None
        columns = [self._answer(view, readings, directions, extracted) for view in self.views]
        names = [view.head.name for view in self.views]
        if not columns:
            return [{} for _ in texts]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def answering(self) -> set[str]:
        """Return the names of the heads whose models answer; rules answer for the others."""
        return {view.head.name for view in self.views if view.model is not None}

    def _answer(
        self, view: HeadView, readings: Sequence[Reading], directions: Sequence[str], extracted: Features | None
    ) -> list[Prediction]:
        head = view.head
        asked = [
            place
            for place, (reading, direction) in enumerate(zip(readings, directions, strict=True))
            if reading.tokens and head.applies_to(direction)
        ]
        version = self.rules_version if view.model is None else self.version
        source: Source = "rules" if view.model is None else "model"
        answers = [Prediction("", 0.0, True, version, source)] * len(readings)
        read_here = [readings[place] for place in asked]
        guesses = self._guesses(view, read_here, extracted, asked)
        sure = self._sure(view, _parts(view, read_here, guesses))
        for number, (place, (guess, confidence)) in enumerate(zip(asked, guesses, strict=True)):
            if number in sure:
                label, top, also = together(guess, confidence, sure[number])
                answers[place] = Prediction(label, top, top < view.threshold, version, source, also)
            elif guess:
                answers[place] = Prediction(guess, confidence, confidence < view.threshold, version, source)
        return answers

    def _guesses(
        self, view: HeadView, readings: Sequence[Reading], extracted: Features | None, places: Sequence[int]
    ) -> list[tuple[str, float]]:
        """Return each reading's best label and its probability; `places` are those of the readings among the features."""
        answers = [rule_answer(view.head, reading) for reading in readings]
        if view.model is None or extracted is None:
            return [(answer.label, answer.confidence) for answer in answers]
        if not answers:
            return []
        probabilities = view.model.predict_proba(_rows(extracted, places), hints_of(view.head, answers))
        labels = view.model.labels
        best, tops = probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist()
        return [(labels[place], top) for place, top in zip(best, tops, strict=True)]

    def _sure(self, view: HeadView, parts: Mapping[int, Sequence[Reading]]) -> dict[int, list[Sure]]:
        """Return, of texts in parts, what their clauses are sure of."""
        if not parts:
            return {}
        flat = [(number, clause) for number, own in parts.items() for clause in own]
        readings = [clause for _, clause in flat]
        extracted = extract([clause.text for clause in readings]) if view.model is not None else None
        least = max(view.threshold, _SURE_RULE if view.model is None else _SURE_MODEL)
        sure: dict[int, list[Sure]] = {number: [] for number in parts}
        for (number, _), (label, probability) in zip(
            flat, self._guesses(view, readings, extracted, range(len(readings))), strict=True
        ):
            if probability >= least and label in view.head.combinable:
                sure[number].append(Sure(label, probability))
        return sure


@dataclass(slots=True)
class _HeadState:
    head: Head
    learner: Learner
    doubt: Doubt = field(default_factory=Doubt)

    @property
    def may_answer(self) -> bool:
        return (
            self.learner.documents >= self.head.minimum_labels
            and int(np.count_nonzero(self.learner.seen)) >= self.head.minimum_classes
        )

    @property
    def threshold(self) -> float:
        return self.doubt.threshold(self.head.precision, self.head.threshold)

    def test(self, features: Features, hints: Hints, value: str) -> None:
        """Count how sure the model is of its answer, and whether that is right, before the value is learnt."""
        labels, probabilities = self.learner.predict_proba(features, hints)
        top = float(probabilities.max(initial=0.0))
        if top > 0.0:
            self.doubt.learn(top, labels[int(probabilities.argmax())] == value)


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
        rule = rule_answer(head, read(text, normal))
        served_by_model = state.may_answer
        features, hints = extract([normal]), hints_of(head, [rule])
        # What corrects or confirms was learnt before by this record's text: how sure the model is of it tells nothing of others.
        if ruling.effect == "first":
            state.test(features, hints, value)
        guess = state.learner.learn(features, value, ruling.weight, hints) or ""
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
        views = tuple(self._view_of(head) for head in self.heads)
        classifier = Classifier(self.version, rules_version(self.heads), views)
        self._latest = weakref.ref(classifier)
        return classifier

    def learners(self) -> dict[str, Learner]:
        """Return the learners of the heads that have learnt something, by head name in the table's order."""
        return {head.name: self._states[head.name].learner for head in self.heads if head.name in self._states}

    def doubts(self) -> dict[str, Doubt]:
        """Return what is known of each learner's confidences, by head name in the table's order."""
        return {head.name: self._states[head.name].doubt for head in self.heads if head.name in self._states}

    def adopt(self, learners: Mapping[str, Learner], doubts: Mapping[str, Doubt]) -> None:
        """Take over restored learners and their doubts, by head name. Raises ValueError for a head that is not in the table."""
        table = {head.name: head for head in self.heads}
        for name, learner in learners.items():
            if name not in table:
                raise ValueError(f"there is no head {name!r}")
            self._states[name] = _HeadState(table[name], learner, doubts[name])

    def _view_of(self, head: Head) -> HeadView:
        state = self._states.get(head.name)
        if state is None or not state.may_answer:
            return HeadView(head, None, head.threshold)
        return HeadView(head, state.learner.freeze(), state.threshold)

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
        "doubt": doubt.recipe(),
    }
    return sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def rules_version(heads: Sequence[Head]) -> str:
    """Return the version of what rules say: that of the lists, and of a team's own terms where there are any."""
    own = {head.name: {label: list(terms) for label, terms in head.terms.items()} for head in heads if head.terms}
    if not own:
        return f"rules/{lexicon().version}"
    return f"rules/{lexicon().version}.{sha256(json.dumps(own).encode()).hexdigest()[:8]}"


# A clause's answer stands beside others only where its label is likelier than all others together; of the rules', only where a
# term asks for just that (0.78 by `rules.need`), for what is merely named (0.63) may be spoken of. On pairs of messages (banking77,
# clinc, smp2017) 86 to 97 % of the labels given beside the first were right; of single messages 0.7 to 8.5 % got one.
_SURE_MODEL: Final = 0.5
_SURE_RULE: Final = 0.7
# A model this sure of the whole has read one thing in it; of such pairs no more than two in a hundred were missed for it.
_OF_ONE_THING: Final = 0.98

# To be raised whenever the code of the rules changes an answer: answers are hints to the models.
_RULES_VERSION: Final = 1


def rule_answer(head: Head, reading: Reading) -> RuleAnswer:
    """Return what a head's rule says of a text; nothing where it has none."""
    return NO_ANSWER if head.rule is None else head.rule(reading)


def hints_of(head: Head, answers: Sequence[RuleAnswer]) -> Hints:
    """Return a rule's answers as the hints that a head's model is given."""
    places = {label: place for place, label in enumerate(head.labels)}
    return Hints(
        np.array([places.get(answer.label, -1) for answer in answers], dtype=np.int64),
        # Silence of the rule is a hint of its own, at full strength.
        np.array([answer.confidence if answer.label else 1.0 for answer in answers], dtype=np.float32),
    )


def _parts(
    view: HeadView, readings: Sequence[Reading], guesses: Sequence[tuple[str, float]]
) -> dict[int, list[Reading]]:
    """Return the clauses of those texts that may ask several things, by place; none where the head gives one label only."""
    if not view.head.combinable:
        return {}
    found = (
        (place, clauses(reading))
        for place, (reading, (_, probability)) in enumerate(zip(readings, guesses, strict=True))
        if _may_ask_several(view, reading, probability)
    )
    return {place: own for place, own in found if own}


def _may_ask_several(view: HeadView, reading: Reading, probability: float) -> bool:
    if view.model is not None:
        return probability < _OF_ONE_THING
    # By the lists alone a text asks as many things as it has terms of different groups.
    terms = reading.matches.get(view.head.name, ())
    return bool(view.head.terms) or len({match.group for match in terms}) > 1


def _rows(features: Features, places: Sequence[int]) -> Features:
    """Return the features of some of the texts, in their order."""
    if len(places) == len(features):
        return features
    spans = [(int(features.starts[place]), int(features.starts[place + 1])) for place in places]
    chosen = np.concatenate([np.arange(first, last) for first, last in spans])
    starts = np.cumsum([0, *(last - first for first, last in spans)]).astype(np.int64)
    return Features(
        starts, features.buckets[chosen], features.tf[chosen], features.families[chosen], features.meanings[places]
    )
