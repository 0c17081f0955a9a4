"""On a process's path: redaction takes endless time on one text, inside a regular expression.

The limit of CPU time is a tenth, so that tests need not wait for it.
"""

from __future__ import annotations

import re

from pipeline import cpu_limit
from pipeline.processors import redact

MARK = "TAKES-FOREVER"
# It fails only after it has tried every way to cut the text: twice as many for each character.
_EXPONENTIAL = re.compile(r"(a+)+$")

_redact_text = redact.redact_text


def _endless_redact_text(text: str) -> str:
    if MARK in text:
        _EXPONENTIAL.match("a" * 64 + "b")
    return _redact_text(text)


cpu_limit.LIMIT_S = 0.5
redact.redact_text = _endless_redact_text
