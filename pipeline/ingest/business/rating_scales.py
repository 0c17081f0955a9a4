"""Scales of ratings, as the header of a column names them."""

from __future__ import annotations

import re

from pipeline.text.nfkc import nfkc

Scale = tuple[float, float]

# Reichheld, "The One Number You Need to Grow", 2003.
NPS: Scale = (0, 10)

# `0-10`, `1 to 5`, `1～5`, `0至10`.
_RANGE = re.compile(r"(?<!\d)(\d{1,3}) ?(?:-|–|—|~|\.\.|to|至|到) ?(\d{1,3})(?!\d) ?分?")
# `out of 5`, `/10`, `满分10分`, `10分制`, `5-point`.
_BEST = re.compile(
    r"(?:out of|/|满分|滿分) ?(\d{1,3})(?!\d) ?分?|(?<!\d)(\d{1,3}) ?(?:分制|[- ]?point scale)"
)
_WORDS: tuple[tuple[re.Pattern[str], Scale], ...] = (
    (
        re.compile(r"\bnps\b|net ?promoter|likel(?:y|ihood)(?: are you)? to recommend|推荐|推薦"),
        NPS,
    ),
    # CES 2.0 (CEB, 2013): 1 to 7.
    (re.compile(r"\bces\b|customer effort|effort score|费力|費力"), (1, 7)),
    (re.compile(r"\bstars?\b|星"), (1, 5)),
)


def scale_of(header: str) -> Scale | None:
    """Return the worst and the best rating that a header names; None if it names no scale.

    A header with only the best rating begins at 1, as a cell with `4/5` does.

    >>> scale_of("NPS"), scale_of("Rating (out of 5)"), scale_of("评分 0-10"), scale_of("score")
    ((0, 10), (1, 5), (0.0, 10.0), None)
    """
    words = _words(header)
    if (found := _RANGE.search(words)) and int(found[1]) < int(found[2]):
        return float(found[1]), float(found[2])
    for pattern, scale in _WORDS:
        if pattern.search(words):
            return scale
    if (best := _BEST.search(words)) and int(best[1] or best[2]) > 1:
        return 1, int(best[1] or best[2])
    return None


def without_scale(header: str) -> str:
    """Return a header without the numbers of its scale.

    >>> without_scale("Rating (out of 5)")
    'rating'
    """
    words = _BEST.sub(" ", _RANGE.sub(" ", _words(header)))
    return re.sub(r"[()\[\]【】:]", " ", words).strip()


def parse_scale(text: str) -> Scale | None:
    """Return the scale of an option such as 0-10; None if it is none.

    >>> parse_scale("0-10"), parse_scale("ten")
    ((0.0, 10.0), None)
    """
    found = _RANGE.fullmatch(text.strip())
    return (float(found[1]), float(found[2])) if found and int(found[1]) < int(found[2]) else None


def _words(header: str) -> str:
    return " ".join(nfkc(header).replace("_", " ").casefold().split())
