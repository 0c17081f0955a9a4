"""Normalizes text for the follow-up rules, and splits it into sentences.

Normalized text is half-width and lower-case, with straight quotes and simplified characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.text.aligned_text import AlignedText
from pipeline.text.chinese import to_simplified
from pipeline.text.nfkc import nfkc

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘`", "'"))
_DOTTED = re.compile(r"\b([ap])\.\s?m\b\.?")
_QUOTED = re.compile(r"\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”|「[^」\n]{1,200}」|『[^』\n]{1,200}』")
_SENTENCE = re.compile(r"[^.!?。;\n]*(?:\.(?=\d)[^.!?。;\n]*)*[.!?。;\n]*")


def normalize(text: str) -> str:
    """Return normalized text: NFKC, case-folded, p.m. as pm, and simplified Chinese characters.

    >>> normalize("I’ll call at ３ p.m.，給您回電話")
    "i'll call at 3 pm,给您回电话"
    """
    return _DOTTED.sub(r"\1m", _replace_characters(nfkc(text).casefold()))


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of normalized text with their final marks, without quoted text.

    >>> list(sentences('i said "call me". will you reply?'))
    ['i said  .', 'will you reply?']
    """
    for match in _SENTENCE.finditer(_QUOTED.sub(" ", text)):
        if sentence := match[0].strip():
            yield sentence


def original_sentences(text: str) -> Iterator[str]:
    """Yield the originals of the sentences that `sentences(normalize(text))` yields.

    >>> list(original_sentences("快遞員會打電話，OK！“好”"))
    ['快遞員會打電話，OK！']
    """
    aligned = AlignedText.nfkc(text).casefold().map_text(_replace_characters)
    aligned = aligned.sub(_DOTTED, r"\1m").sub(_QUOTED, " ")
    for match in _SENTENCE.finditer(aligned.text):
        if match[0].strip():
            yield aligned.original_of(match.start(), match.end()).strip()


def _replace_characters(text: str) -> str:
    return to_simplified(text.translate(_APOSTROPHES))
