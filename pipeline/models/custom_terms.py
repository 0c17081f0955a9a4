"""The rule of a team's own words: labels that their terms speak for, in any language."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pipeline.models.lexicon_files import tokenise
from pipeline.models.rules import NO_ANSWER, Rule, RuleAnswer
from pipeline.text.normal_form import normalise

if TYPE_CHECKING:
    from pipeline.models.lexicon_reading import Reading

# Whoever lists a term means it: it weighs what the built-in lists give to what asks for just that,
# and certainty grows by the same scale as there, so that the two can be weighed against each other
# (`pipeline.models.rules.need`).
_WEIGHT: Final = 3.0
_SCALE: Final = 2.0
_OTHERS: Final = 0.5


class TermsError(ValueError):
    """A term cannot be looked for; the message names it and its label."""


def tokens_of(term: str) -> tuple[str, ...]:
    """Return the tokens by which a term is found; none where it holds nothing that is read."""
    return tuple(tokenise(normalise(term)))


def rule_of(terms: Mapping[str, Sequence[str]], beside: Rule | None = None) -> Rule | None:
    """Return the rule that answers with the label whose terms weigh most, the first mentioned among
    equals; None without terms.

    Where another rule stands `beside`, the surer of the two answers, that one where they are as
    sure. Raises TermsError for a term without anything to look for, or of two labels.
    """
    starts = _by_first_token(terms)
    if not starts:
        return beside

    def rule(reading: Reading) -> RuleAnswer:
        own = _answer(_found(reading.tokens, starts))
        other = NO_ANSWER if beside is None else beside(reading)
        return own if own.confidence > other.confidence else other

    return rule


_Starts = Mapping[str, Sequence[tuple[tuple[str, ...], str, str]]]


def _by_first_token(terms: Mapping[str, Sequence[str]]) -> _Starts:
    meant: dict[tuple[str, ...], tuple[str, str]] = {}
    for label, words in terms.items():
        for term in words:
            tokens = tokens_of(term)
            if not tokens:
                raise TermsError(f"{label}: the term {term!r} holds nothing that is read")
            if meant.setdefault(tokens, (label, term))[0] != label:
                raise TermsError(
                    f"{label}: the term {term!r} stands under {meant[tokens][0]} already"
                )
    starts: dict[str, list[tuple[tuple[str, ...], str, str]]] = defaultdict(list)
    for tokens, (label, term) in sorted(meant.items(), key=lambda item: -len(item[0])):
        starts[tokens[0]].append((tokens, label, term))
    return dict(starts)


def _found(tokens: Sequence[str], starts: _Starts) -> dict[str, list[str]]:
    """Return the distinct terms of each label, in order of the text; of those that begin at one
    token the longest.
    """
    found: dict[str, list[str]] = {}
    position, count = 0, len(tokens)
    while position < count:
        width = 1
        for words, label, term in starts.get(tokens[position], ()):
            if tuple(tokens[position : position + len(words)]) == words:
                known = found.setdefault(label, [])
                if term not in known:
                    known.append(term)
                width = len(words)
                break
        position += width
    return found


def _answer(found: Mapping[str, Sequence[str]]) -> RuleAnswer:
    if not found:
        return NO_ANSWER
    weights = {label: _WEIGHT * len(terms) for label, terms in found.items()}
    label = max(weights, key=weights.__getitem__)
    top = weights[label]
    share = top / (top + _OTHERS * (sum(weights.values()) - top))
    return RuleAnswer(label, share * (1.0 - math.exp(-top / _SCALE)), tuple(found[label]))
