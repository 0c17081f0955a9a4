"""Recognise the line that a phone or mail app adds: "Sent from my iPhone", "发自我的iPhone"."""

import re

from pipeline.processors.clean.reply.word_tables import alternation, read_table

_TABLE = read_table("devices")
# Matches the name of a device or app in the patterns.
_THING = r"(?:\S.{0,58})"
_DEVICES_ZH = f"(?:{alternation(_TABLE['devices']['zh'])})"


def _pattern(language: str, patterns: list[str]) -> str:
    whole = alternation(patterns).replace("{thing}", _THING).replace("{device}", _DEVICES_ZH)
    return f"(?P<{language}>{whole})"


_DEVICE = re.compile(
    "|".join(_pattern(language, patterns) for language, patterns in _TABLE["patterns"].items())
)
# Every pattern begins with one of these or ends with one of those: a cheap test before the regular
# expression.
_STARTS = frozenset(start[:3] for start in _TABLE["gate"]["starts"])
_ENDS = frozenset(end[-2:] for end in _TABLE["gate"]["ends"])
_HAN_STARTS = frozenset("发發寄传傳来來从從用由自通透使获取獲下")
_LINK = re.compile(
    r"(?<!\s)\s*+[<(\[]?(?:https?://|www\.)[^\s>)\]]*[>)\]]?|\[([^\]]{0,60})\]\([^)]{0,200}\)|\[cid:[^\]]*\]"
)
_FRAME = " \t<>()[]（）【】*_~-–—.!。！\"'“”|"
# A finite verb or a second clause makes it a sentence: "Sent from my desk, is much easier than my
# phone."
_SENTENCE = re.compile(
    r"(?<!\w)(?:is|was|are|were|has|have|had|will|would|can|could|should|it|that|this|because|but|so|when|to|you|we|they"
    r"|yesterday|today|ist|war|wird|habe|hat|dass|est|était|es|fue|está|è|и|но|что)(?!\w)"
)
_EXCUSES = ("excus", "pardon", "forgive", "ignore", "apolog", "sorry", "entschuldig", "tippfehler")
# It begins where a run of separators begins, and no part gives back what it took: blanks would be
# shared among the parts in every way.
_EXCUSE = re.compile(
    r"(?<![,.;!\s])[,.;!\s]*+(?:"
    r"(?:-|–)?+\s*+(?:please|pls|kindly|so please)?+\s*+"
    r"(?:excuse|pardon|forgive|ignore|apologi[sz]es? for|sorry for)\b.*"
    r"|(?:bitte )?(?:entschuldigen|tippfehler).*|(?:merci d['’])?excuse[rz].*)"
)
_MAX_LINE = 160


def device_language(line: str) -> str | None:
    """Return the language of a device line ("en", "zh"), or None for any other stripped line.

    >>> device_language("Sent from my iPhone"), device_language("Sent from my desk, it is late.")
    ('en', None)
    """
    if len(line) > _MAX_LINE or not _may_be_device(line):
        return None
    text = _LINK.sub(r"\1", line) if "/" in line or "[" in line or "www." in line else line
    text = text.strip(_FRAME).casefold()
    match = _DEVICE.fullmatch(text)
    if (match is None or _SENTENCE.search(text, 8)) and any(word in text for word in _EXCUSES):
        text = _EXCUSE.sub("", text).strip(_FRAME)
        match = _DEVICE.fullmatch(text)
    return None if match is None or _SENTENCE.search(text, 8) else match.lastgroup


def _may_be_device(line: str) -> bool:
    if line[0] in _HAN_STARTS:
        return True
    start = line[:3] if line[0] not in _FRAME else line.lstrip(_FRAME)[:3]
    return start.casefold() in _STARTS or line.rstrip(".。!！")[-2:] in _ENDS
