"""Recognise closing phrases of a letter and names of signers."""

import re

from pipeline.processors.clean.reply.word_tables import read_table

_TABLE = read_table("closings")
_PUNCTUATION = " \t\xa0\u3000,.;:!?~*_-–—()[]<>\"'“”‘’，。；：！？、～（）【】…·|/"
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")
# "Thanks and kind regards", "With very best wishes", "Warmest regards to all".
_ENGLISH = re.compile(
    r"(?P<thanks>(?:(?:many|with|again)\s)?(?:thanks|thank you|thx)(?:\s(?:again|in advance|so"
    r" much|very much|a lot))?"
    r"\s?(?:and|&|\+|,|/|-)?\s?)?(?:with\s|and\s|in\s)?"
    r"(?:(?:my|our|very|the|kind|kindest|best|warm|warmest|sincere|friendly|personal|good|many|most)[\s,]*){0,4}"
    r"(?:regards|wishes|greetings|rgds)(?:\sfrom\s.{1,30})?"
)
_BILINGUAL = re.compile(r"\s*[/|]\s*")


def _bare(text: str) -> str:
    """Return a phrase in lower case without the punctuation and symbols around it."""
    bare = text.strip(_PUNCTUATION)
    if bare and not (bare[0].isalnum() and bare[-1].isalnum()):
        bare = _EDGES.sub("", bare)
    return bare.casefold()


def _phrases(kind: str) -> frozenset[str]:
    return frozenset(_bare(phrase) for phrases in _TABLE[kind].values() for phrase in phrases)


# Formulas ("Kind regards") only close a letter, so they are cut even where no name follows. Thanks
# can be content.
_FORMULAS = _phrases("formula")
_THANKS = _phrases("thanks")
_LONGEST = 64
_FIRST_WORDS = frozenset(phrase.split()[0] for phrase in _FORMULAS)
_SIGNED = tuple(_TABLE["names"]["signed"])
_AMBIGUOUS = frozenset(_TABLE["names"]["ambiguous"])
_PARTICLES = frozenset(_TABLE["names"]["particles"])
_NOT_NAMES = frozenset(_TABLE["names"]["no_names"])
_NOT_IN_NAMES = re.compile(r"[?？@!！:：;\d]")
_FIRM_FORMS = frozenset(_TABLE["names"]["firm_forms"])
_HAN_NAME = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af·・ ]{1,16}(?:\s?[（(][^()（）]{1,20}[)）])?$"
)
_HAN_WORD = re.compile(
    r"(?:谢|感谢|麻烦|请|好的|收到|不|没|是|可以|对|行|嗯|已|我|你|您|他|她|这|那|如|若|的|了|吗|呢|吧|啊).{0,16}$|.{1,15}[了吗呢吧啊的]$"
)


def closing_kind(line: str) -> str | None:
    """Return "formula" or "thanks" for a stripped line that is only a closing phrase, or None.

    >>> closing_kind("Kind regards,"), closing_kind("Thanks!"), closing_kind("See the file.")
    ('formula', 'thanks', None)
    """
    if len(line) > _LONGEST:
        return None
    bare = _bare(line)
    kind = _phrase_kind(bare)
    if kind or ("/" not in bare and "|" not in bare):
        return kind
    kinds = [_phrase_kind(_bare(part)) for part in _BILINGUAL.split(bare)]
    return "formula" if None not in kinds and "formula" in kinds else None


def _phrase_kind(bare: str) -> str | None:
    if bare in _FORMULAS and bare not in _AMBIGUOUS:
        return "formula"
    if bare in _THANKS or bare in _AMBIGUOUS:
        return "thanks"
    if bare.endswith(("regards", "wishes", "greetings", "rgds")) or "regards from" in bare:
        return "formula" if _ENGLISH.fullmatch(bare) else None
    return None


def is_signed_closing(line: str) -> bool:
    """Return whether a line is a formula with a name: "Best, Ann", "顺颂商祺，张三"."""
    if len(line) > _LONGEST:
        return False
    words = line.split()
    if words[-1].strip(".。!！").endswith(_SIGNED):
        return len(line) <= 30
    head, comma, tail = line.partition("，" if "，" in line else ",")
    phrase_before = _bare(head) if comma else ""
    if (
        (phrase_before in _AMBIGUOUS or _phrase_kind(phrase_before) == "formula")
        and tail.strip()
        and looks_like_name(tail.strip())
    ):
        return True
    if len(words) < 2 or _bare(words[0]) not in _FIRST_WORDS:
        return False
    for cut in range(min(4, len(words) - 1), 0, -1):
        phrase = _bare(" ".join(words[:cut]))
        if phrase in _FORMULAS and phrase not in _AMBIGUOUS:
            return looks_like_name(" ".join(words[cut:]))
    return False


def looks_like_name(line: str) -> bool:
    """Return whether a stripped line looks like a name: up to five capitalised words, or short CJK.

    >>> looks_like_name("Ann Lee"), looks_like_name("王小明"), looks_like_name("call me")
    (True, True, False)
    """
    if line[-1:] in (":", "："):
        return False
    bare = line.strip(" ,.;!*_-–—~/|\"'“”，。！、")
    if not bare or len(bare) > 50 or _NOT_IN_NAMES.search(bare):
        return False
    if not bare.isascii() and _HAN_NAME.match(bare):
        return _HAN_WORD.match(bare) is None
    words = bare.replace(",", " ").split()
    if not 1 <= len(words) <= 5 or words[0].casefold() in _NOT_NAMES:
        return False
    if (
        any(len(word) > 4 and word[-1] == "." for word in words[:-1])
        or words[0].casefold().rstrip(".") in _FIRM_FORMS
    ):
        return False
    cased = [word for word in words if word.casefold() not in _PARTICLES]
    return bool(cased) and all(_is_name_word(word) for word in cased)


def _is_name_word(word: str) -> bool:
    first = word.lstrip("(\"'“‘")[:1]
    # Letters of scripts without case (Arabic, Hebrew, Thai) are neither upper nor lower.
    return first.isupper() or (first.isalpha() and not first.islower())
