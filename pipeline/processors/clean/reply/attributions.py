"""Recognise the line above a quote that names its author and date: "On 5 May 2024, Ann wrote:".

One recogniser serves all languages. A table (tables/attributions.toml) has the words; the other
evidence (a date, a time, an address, the verb at the end) is the same everywhere. The wordings are
those of Gmail, Apple Mail, Outlook, Thunderbird, Yahoo, mail.ru, NetEase, QQ, Naver and Proton in
their own translations.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from pipeline.processors.clean.reply.closings import looks_like_name
from pipeline.processors.clean.reply.word_tables import read_table

_LANGUAGES: dict[str, dict[str, list[str]]] = read_table("attributions")

# Phrases that start an attribution with the date at its end: Apple Mail in Polish, Gmail in
# Catalan.
_NAMED_FIRST = re.compile(
    r"(?:Wiadomość napisana przez|Missatge de|Messaggio di|Mensaje de|Message de)\s", re.I
)


def _languages_of(position: str) -> dict[str, str]:
    """Return each word of a position in the line with its language, the first one where shared."""
    return {
        word.casefold(): code
        for code, words in reversed(_LANGUAGES.items())
        for word in words[position]
    }


_VERB_LANGUAGE = _languages_of("ends")
# Verbs by their last two characters, longest first: "a scris" must not match as a shorter verb of
# another language.
_VERBS_BY_END: dict[str, tuple[str, ...]] = {
    end: tuple(sorted((verb for verb in _VERB_LANGUAGE if verb[-2:] == end), key=len, reverse=True))
    for end in {verb[-2:] for verb in _VERB_LANGUAGE}
}
_INNER_LANGUAGE = _languages_of("inside")


def _words(words: Sequence[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(set(words), key=len, reverse=True))


# The longest word of each inner verb, for a cheap test before the regular expression. Words of
# scripts without spaces may be anywhere in the line.
_INNER_TOKENS = frozenset(max(verb.split(), key=len) for verb in _INNER_LANGUAGE)
_INNER_UNSPACED = tuple(verb for verb in _INNER_LANGUAGE if verb[0] >= "\u0e00")
_INNER = re.compile(rf"(?<!\w)(?:{_words(list(_INNER_LANGUAGE))})(?!\w)", re.I)
_INTRO_WORDS = [word for words in _LANGUAGES.values() for word in words["before"]]
_INTRO_FIRST = frozenset(word.split()[0].casefold() for word in _INTRO_WORDS)
# A date follows within 34 characters of the first word: "Il giorno mercoledì 12 settembre" needs
# 20, Arabic and Thai weekdays more. Prose such as "On the other hand, he wrote:" has no digit
# there.
_INTRO = re.compile(rf"(?:{_words(_INTRO_WORDS)})(?=[\s\d,:،])[^\d<>@]{{0,34}}\d", re.I)
# CJK words need no space before the date.
_INTRO_CJK = re.compile(r"[在于於自]\s?[^\d<>@]{0,6}\d|(?:ใน)?วันที่[^\d<>@]{0,34}\d")
# A date without a first word: up to two short words (a weekday), then a digit: "ср, 30 апр.", "tir.
# 18. apr."; or a weekday, a month and the day: "Monday, September 30".
_DATED = re.compile(
    r"\W?(?:[^\W\d_]{1,14}[.,،]{1,2}\s*|[^\W\d_]{1,3}\s+|[^\W\d_]{3,12}(?:day|dag|tag),?\s+){0,2}\d"
    r"|\W?[^\W\d_]{3,14},\s*[^\W\d_]{3,14}\s+\d{1,2}\b"
)
_DIGIT = re.compile(r"\d")
_YEAR = re.compile(r"(?<!\d)(?:19|20|25)\d\d(?!\d)|\d{1,2}[./-]\d{1,2}[./-]\d{2}(?!\d)|٢٠[٠-٩]{2}")
_CLOCK = re.compile(
    r"(?<![\d.])\d{1,2}\s?[:：h]\s?\d{2}(?!\d)|\d{1,2}[時时点點시]|\d{1,2}\.\d{2}(?:\.\d{2})?(?![\d.])|\d\s?[ap]\.?m\b",
    re.I,
)
_ADDRESS = re.compile(r"[^\s<>@]@[^\s<>@]")
_ADDRESS_LAST = re.compile(r"@[^\s<>@]{1,120}[>)\]]{0,3}\s?[>)\]]?$")
# A name of up to eight words, then the address in brackets, then the verb.
_ADDRESS_FIRST = re.compile(
    r"(?P<name>[^<>\[\]@:：]{0,90})\(?[<(\[]\s?(?:mailto:)?[^\s<>@]{1,80}@[^\s<>@]{1,120}(?:\s?<mailto:[^\s<>]{1,160}>)?"
    r"\s?[>)\]]{1,3}(?P<rest>.{0,120})$"
)
_PLAIN_ADDRESS_FIRST = re.compile(
    r"(?P<name>[^<>\[\]@:：\s]{1,60})@[^\s<>@]{1,120}(?P<rest>\s.{0,80})$"
)
_NUMERIC_DATE_NAME = re.compile(
    r"\d{4}[/.-]\d{1,2}[/.-]\d{1,2}\s.{0,90}<[^<>\s]{1,80}@[^<>\s]{1,120}>$"
)
_CHINESE_NAME_FIRST = re.compile(r".{0,60}?[于於在]\s?\d{4}\s?[年/.-].{0,60}[写寫][道到入]$")
_NAME_ONLY = re.compile(r"[^\d@:：<>!?。！？]{1,60}$")

# Characters around an attribution without a meaning: dashes of Zoho, asterisks of bold text,
# quotation marks of Outlook for Mac.
_LEADING = " \t\xa0-–—_*\u201c\u201d\"'•>"
_TRAILING = " \t\xa0\u202f:：*_-–—"
# An attribution rarely has more than four lines and 500 characters; longer text is prose.
_MAX_LINES = 5
_MAX_LENGTH = 600
_MAX_LINE = 400
# Other wordings count only directly above quoted lines, and they are short.
_MAX_INTRODUCTION = 160
_MAX_INTRODUCTION_WORDS = 18
_SAYING = frozenset(
    {
        *(
            "said",
            "says",
            "asked",
            "asks",
            "replied",
            "replies",
            "answered",
            "mentioned",
            "stated",
            "noted",
        ),
        *("adds", "added", "posted", "forwarded"),
    }
)


class AttributionEvidence(IntEnum):
    """How strong the evidence for an attribution is; weaker evidence needs more context."""

    NONE = 0
    NAME = 1
    """A name and a verb: counts only above quoted lines."""
    DATE = 2
    """A date without time or address: counts above quoted lines or as its own paragraph."""
    FULL = 3


@dataclass(frozen=True, slots=True)
class Attribution:
    """An attribution from line ``first``, column ``column``, to the line that was searched."""

    first: int
    column: int
    language: str
    evidence: AttributionEvidence


@dataclass(frozen=True, slots=True)
class _AttributionMatch:
    language: str
    evidence: AttributionEvidence
    is_complete: bool
    """Whether it includes the start of the attribution; otherwise lines above may belong to it."""


_NO_MATCH = _AttributionMatch("", AttributionEvidence.NONE, False)


def may_end_attribution(line: str) -> bool:
    """Return whether a stripped line may end an attribution; cheap, and true for little prose."""
    if len(line) > _MAX_LINE:
        return False
    if line[-1] in ":：":
        return True
    bare = line.rstrip(_TRAILING)
    return bare.endswith(("wrote", "写道", "寫道")) or (
        line[0].isdigit() and bare.endswith(">") and "@" in bare
    )


def find_attribution(
    lines: Sequence[str], last: int, floor: int, *, above_quote: bool
) -> Attribution | None:
    """Return the attribution whose last line is ``last``, or None.

    ``lines`` are stripped; no line before ``floor`` is used. ``above_quote`` says that quoted lines
    follow; without them a name alone is not an attribution. At most five lines are joined, so the
    cost does not depend on the length of the mail.
    """
    line = lines[last]
    top = _top_of_window(lines, last, floor)
    # Without quoted lines below, a date or an address is needed.
    if not (
        above_quote or any(_has_date_or_address(line_above) for line_above in lines[top : last + 1])
    ):
        return None
    if not _may_be_attribution(line, lines[last - 1] if last > top else ""):
        return None
    joined = ""
    has_evidence = False
    incomplete: Attribution | None = None
    for first in range(last, top - 1, -1):
        line_above = lines[first]
        joined = f"{line_above} {joined}" if joined else line_above
        # Lines above can complete an attribution only with a date or an address.
        has_evidence = has_evidence or _has_date_or_address(line_above)
        match = match_attribution(joined) if has_evidence or first == last else _NO_MATCH
        if match.evidence is AttributionEvidence.NONE:
            continue
        attribution = Attribution(first, 0, match.language, match.evidence)
        if match.is_complete:
            return attribution
        if incomplete is None or incomplete.evidence < match.evidence:
            incomplete = attribution
    if incomplete is not None:
        return _with_wrapped_name(lines, incomplete, floor)
    return _find_after_text(line, last)


def _top_of_window(lines: Sequence[str], last: int, floor: int) -> int:
    """Return the highest line that may belong to an attribution that ends at ``last``."""
    length = len(lines[last])
    top = last
    while top > max(floor, last - _MAX_LINES + 1):
        above = lines[top - 1]
        length += len(above)
        if not above or length > _MAX_LENGTH or above[0] in ">|\ue000":
            break
        top -= 1
    return top


def _has_date_or_address(line: str) -> bool:
    return "@" in line or _DIGIT.search(line) is not None


def is_quote_introduction(line: str) -> bool:
    """Return whether a line says who is quoted, in any wording; valid only above quoted lines.

    >>> is_quote_introduction("Quoting Ann (ann@example.com):")
    True
    """
    if line[-1] not in ":：" or len(line) > _MAX_INTRODUCTION:
        return False
    bare = line.strip(_LEADING).rstrip(_TRAILING)
    if not bare or bare.count(" ") > _MAX_INTRODUCTION_WORDS:
        return False
    if _ADDRESS.search(bare) or (
        _YEAR.search(bare) and (_CLOCK.search(bare) or _starts_with_date(bare))
    ):
        return True
    words = bare.split()
    if len(words) > 2 and words[-1].casefold() in _SAYING:
        words.pop()
    return len(words) > 1 and looks_like_name(" ".join(words))


def _may_be_attribution(line: str, above: str) -> bool:
    if "@" in line or ">" in line or len(line) <= 3:
        return True
    folded = line.casefold()
    if _language_of_ending(folded.rstrip(_TRAILING)):
        return True
    # A verb inside the line counts only with a date in this line or the one above.
    return (_DIGIT.search(line) or _DIGIT.search(above)) is not None and _has_inner_verb(
        f"{above.casefold()} {folded}"
    )


def _has_inner_verb(folded: str) -> bool:
    if not folded.isascii() and any(verb in folded for verb in _INNER_UNSPACED):
        return True
    return not _INNER_TOKENS.isdisjoint(folded.split())


def _with_wrapped_name(lines: Sequence[str], attribution: Attribution, floor: int) -> Attribution:
    """Include the line above where the attribution starts inside a wrapped name."""
    above = attribution.first - 1
    if above < floor or not 0 < len(lines[above]) <= 80:
        return attribution
    in_name = lines[attribution.first][0] in "<([" and lines[above][-1] not in ".!?。！？:：>"
    if not in_name and lines[above].rfind("<") <= lines[above].rfind(">"):
        return attribution
    return Attribution(above, 0, attribution.language, attribution.evidence)


def _find_after_text(line: str, last: int) -> Attribution | None:
    """Find an attribution after other text in its line, where a program lost the line break.

    "see you then On Wed, 4 Apr 2012 at 3:59 PM, x@example.com wrote:"
    """
    column = max(line.rfind(" On "), line.rfind("-On "), line.rfind("- On "))
    if column <= 0:
        return None
    start = len(line[:column].rstrip(" -"))
    match = match_attribution(line[column + 1 :])
    if start and match.is_complete and match.evidence is AttributionEvidence.FULL:
        return Attribution(last, start, match.language, AttributionEvidence.FULL)
    return None


def match_attribution(joined: str) -> _AttributionMatch:
    """Return what a line, or several joined by spaces, shows of an attribution."""
    text = joined.lstrip(_LEADING)
    bare = text.rstrip(_TRAILING)
    if not bare:
        return _NO_MATCH
    colon = any(mark in text[len(bare) :] for mark in ":：") or (
        joined.startswith("--") and joined.endswith("--")
    )
    folded = bare.casefold()
    language = _language_of_ending(folded)
    inner = _INNER.search(bare) if colon and not language and _has_inner_verb(folded) else None
    if inner:
        language = _INNER_LANGUAGE.get(inner[0].casefold(), "")
    address = "@" in bare and _ADDRESS.search(bare) is not None
    if not language and not address:
        return _NO_MATCH
    return _classify(bare, language, address=address, colon=colon, inner=inner is not None)


def _language_of_ending(folded: str) -> str:
    for verb in _VERBS_BY_END.get(folded[-2:], ()):
        if folded.endswith(verb):
            before = folded[-len(verb) - 1 : -len(verb)]
            # A verb is a separate word, except in scripts without spaces ("...님이 작성",
            # "...周一写道").
            return "" if before.isalpha() and verb.isascii() else _VERB_LANGUAGE[verb]
    return ""


def _classify(
    bare: str, language: str, *, address: bool, colon: bool, inner: bool
) -> _AttributionMatch:
    has_verb = bool(language)
    if _starts_with_date(bare) and (has_verb or (colon and _ADDRESS_LAST.search(bare))):
        certain = address or _CLOCK.search(bare)
        return _AttributionMatch(
            language or "any",
            AttributionEvidence.FULL if certain else AttributionEvidence.DATE,
            True,
        )
    if _DATED.match(bare) and _is_dated_line(bare, has_verb, colon=colon):
        return _AttributionMatch(language or "any", AttributionEvidence.FULL, True)
    if _NUMERIC_DATE_NAME.match(bare):
        return _AttributionMatch("any", AttributionEvidence.FULL, True)
    if address and colon and _NAMED_FIRST.match(bare) and _CLOCK.search(bare):
        return _AttributionMatch(language or "any", AttributionEvidence.FULL, True)
    if language == "zh" and not inner and _CHINESE_NAME_FIRST.match(bare):
        return _AttributionMatch("zh", AttributionEvidence.FULL, False)
    if address and has_verb and _is_address_first(bare, colon=colon, inner=inner):
        return _AttributionMatch(language, AttributionEvidence.FULL, False)
    # "Max Muster schrieb am 5.1.2024 um 10:00:"; the same words in English are often prose ("your
    # agent wrote on").
    if has_verb and inner and language != "en" and _YEAR.search(bare) and _CLOCK.search(bare):
        return _AttributionMatch(language, AttributionEvidence.DATE, True)
    if has_verb and colon and not inner and _NAME_ONLY.match(bare) and 1 <= bare.count(" ") <= 7:
        return _AttributionMatch(language, AttributionEvidence.NAME, False)
    return _NO_MATCH


def _starts_with_date(bare: str) -> bool:
    """Return whether a line starts with a word that begins attributions, and a date."""
    word = bare.split(None, 1)[0].rstrip(",:،").casefold()
    if word in _INTRO_FIRST:
        return _INTRO.match(bare) is not None
    return not bare[0].isascii() and (
        _INTRO_CJK.match(bare) is not None or _INTRO.match(bare) is not None
    )


def _is_dated_line(bare: str, has_verb: bool, *, colon: bool) -> bool:
    if not _YEAR.search(bare) or not (has_verb or (colon and _ADDRESS_LAST.search(bare))):
        return False
    return (has_verb and "@" in bare) or _CLOCK.search(bare) is not None


def _is_address_first(bare: str, *, colon: bool, inner: bool) -> bool:
    match = _ADDRESS_FIRST.match(bare) or _PLAIN_ADDRESS_FIRST.match(bare)
    if match is None or match["name"].count(" ") > 8:
        return False
    rest = match["rest"]
    has_date = _DIGIT.search(rest) is not None
    if inner:
        return colon and has_date
    # Between the address and the verb is a date or a particle ("ezt", "님이"); more words are
    # prose.
    return rest.count(" ") <= 3 or (has_date and _CLOCK.search(bare) is not None)
