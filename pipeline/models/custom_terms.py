"""Rules from a team's own terms: each term, in any language, supports one label."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.models.answers import NO_ANSWER, Rule, RuleAnswer, RuleInput
from pipeline.models.lexicon_files import tokenise
from pipeline.text.normal_form import normalise

# A team's term weighs as much as an explicit request in the built-in lists, and confidence grows on
# the same scale, so that the two rules can be compared (`pipeline.models.rules.need`).
_WEIGHT: Final = 3.0
_SCALE: Final = 2.0
_OTHERS: Final = 0.5


class TermsError(ValueError):
    """A term cannot be matched; the message names it and its label."""


def term_tokens(term: str) -> tuple[str, ...]:
    """Return the tokens that match a term; none if it has no readable character.

    >>> term_tokens("Work-visa")
    ('work', '-', 'visa')
    """
    return tuple(tokenise(normalise(term)))


def rule_from_terms(
    terms: Mapping[str, Sequence[str]], built_in: Rule | None = None
) -> Rule | None:
    """Return the rule that answers with the label whose terms weigh most; `built_in` without terms.

    Among equal labels the first mentioned wins. If there is a `built_in` rule, the answer with the
    higher confidence counts, and the built-in one if they are equal. Raises TermsError for a term
    without readable characters, or for a term of two labels.
    """
    starts = _by_first_token(terms)
    if not starts:
        return built_in

    def rule(reading: RuleInput) -> RuleAnswer:
        own = _answer(_matching_terms(reading.tokens, starts))
        other = NO_ANSWER if built_in is None else built_in(reading)
        return own if own.confidence > other.confidence else other

    return rule


_Starts = Mapping[str, Sequence[tuple[tuple[str, ...], str, str]]]


def _by_first_token(terms: Mapping[str, Sequence[str]]) -> _Starts:
    owners: dict[tuple[str, ...], tuple[str, str]] = {}
    for label, words in terms.items():
        for term in words:
            tokens = term_tokens(term)
            if not tokens:
                raise TermsError(f"{label}: the term {term!r} has no readable character")
            if owners.setdefault(tokens, (label, term))[0] != label:
                raise TermsError(
                    f"{label}: the term {term!r} already belongs to the label {owners[tokens][0]}"
                )
    starts: dict[str, list[tuple[tuple[str, ...], str, str]]] = defaultdict(list)
    for tokens, (label, term) in sorted(owners.items(), key=lambda item: -len(item[0])):
        starts[tokens[0]].append((tokens, label, term))
    return dict(starts)


def _matching_terms(tokens: Sequence[str], starts: _Starts) -> dict[str, list[str]]:
    """Return the distinct terms of each label in order of the text; the longest at each token."""
    matches: dict[str, list[str]] = {}
    position, count = 0, len(tokens)
    while position < count:
        width = 1
        for words, label, term in starts.get(tokens[position], ()):
            if tuple(tokens[position : position + len(words)]) == words:
                known = matches.setdefault(label, [])
                if term not in known:
                    known.append(term)
                width = len(words)
                break
        position += width
    return matches


def _answer(matches: Mapping[str, Sequence[str]]) -> RuleAnswer:
    if not matches:
        return NO_ANSWER
    weights = {label: _WEIGHT * len(terms) for label, terms in matches.items()}
    label = max(weights, key=weights.__getitem__)
    top = weights[label]
    share = top / (top + _OTHERS * (sum(weights.values()) - top))
    return RuleAnswer(label, share * (1.0 - math.exp(-top / _SCALE)), tuple(matches[label]))
