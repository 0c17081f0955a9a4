"""Signs at the start of quoted lines: ``>`` in all its forms, and what some clients and people set
instead.
"""

import re

from pipeline.processors.clean.reply.lines import TextLines

ANGLE_CHARACTERS = frozenset(">＞")
_INITIALS = re.compile(r"[A-Z]{1,3}>(?=\s|$)")
# "-" and "*" are not among them: they would be lists.
_OTHER_PREFIX = re.compile(r"--\]|=>|->|[|#:%\]}~+!](?![|#:%\]}~+!])")
# Prompts that look like initials.
_PROMPTS = ("C>", "PS>", "SQL>", "A>", "D>")
# A quoted line of this length was probably wrapped by the server, and its rest stands below without
# the sign.
_WRAPPED_AT = 60
_MAX_OVERFLOW = 100


def has_angle_prefix(line: str) -> bool:
    """Return whether a stripped line carries ``>``, as such, in full width or as an entity."""
    return line[:1] in ANGLE_CHARACTERS or line.startswith("&gt;")


class QuotePrefixes:
    """What marks quoted lines in one mail. ``shown`` is a sign other than ``>`` that a quote has
    shown.
    """

    __slots__ = ("_clean", "_plain_until", "known_prefix")

    def __init__(self, lines: TextLines) -> None:
        self._clean = lines.clean
        self.known_prefix = ""
        # Lines before this one are known to be no quote by pipes or initials: each run is looked at
        # once.
        self._plain_until = 0

    def is_quoted(self, at: int) -> bool:
        """Return whether a filled line carries ``>``, the sign shown before, or initials ("JD>
        text").
        """
        line = self._clean[at]
        return (
            has_angle_prefix(line)
            or bool(self.known_prefix and line.startswith(self.known_prefix))
            or _INITIALS.match(line) is not None
        )

    def prefix_below_header(self, at: int) -> str:
        """Return the sign that the lines below an attribution share where it is not ``>``: "|
        text", "# text".

        A last line does not tell: where the rest of a mail is cut off, it must not become a quote.
        """
        found = _OTHER_PREFIX.match(self._clean[at])
        if found is None or self._clean[at][-1] == found[0] or at + 1 == len(self._clean):
            return ""
        below = self._clean[at + 1]
        return found[0] if not below or below.startswith(found[0]) else ""

    def starts_run(self, at: int, line: str) -> bool:
        """Return whether a run of lines with a sign other than ``>`` starts here, without an
        attribution.

        It takes the sign that was shown before, or two lines at least with a pipe or the same
        initials; lines of a table have more than one pipe.
        """
        if self.known_prefix and line.startswith(self.known_prefix):
            return True
        if at < self._plain_until or (line[0] != "|" and _INITIALS.match(line) is None):
            return False
        sign = _prefix_of(line)
        end = at
        table = sign in _PROMPTS
        while end < len(self._clean) and self._clean[end].startswith(sign):
            table = table or (sign == "|" and self._clean[end].count("|") > 1)
            end += 1
        if table or end - at < 2:
            self._plain_until = end
            return False
        return True

    def run_end(self, at: int) -> int:
        """Return the line after a run of quoted lines, blank lines between them and wrapped rests
        included.
        """
        if not has_angle_prefix(self._clean[at]):
            return self._other_run_end(at)
        clean, count = self._clean, len(self._clean)
        last = at
        wrapping = False
        below = at + 1
        while below < count:
            line = clean[below]
            if line:
                if line[0] in ANGLE_CHARACTERS or line.startswith("&gt;"):
                    last = below
                elif below == last + 1 and self._is_wrapped_rest(last, below, wrapping):
                    wrapping = True
                    last = below
                else:
                    break
            below += 1
        return last + 1

    def _other_run_end(self, at: int) -> int:
        line = self._clean[at]
        sign = (
            self.known_prefix
            if self.known_prefix and line.startswith(self.known_prefix)
            else _prefix_of(line)
        )
        last = at
        below = at + 1
        while below < len(self._clean) and (
            not self._clean[below] or self._clean[below].startswith(sign)
        ):
            if self._clean[below]:
                last = below
            below += 1
        return last + 1

    def _is_wrapped_rest(self, above: int, at: int, wrapping: bool) -> bool:
        """Return whether a bare line between quoted lines is the rest of the quoted line above it.

        Servers wrap quoted lines at some 76 columns and leave the rest without a sign; links are
        wrapped inside their brackets. An author's answer starts with a capital, or stands apart, or
        follows a short line.
        """
        clean = self._clean
        if (
            at + 1 >= len(clean)
            or not has_angle_prefix(clean[at + 1])
            or len(clean[at]) > _MAX_OVERFLOW
        ):
            return False
        line, quoted = clean[at], clean[above]
        if _is_rest_of_link(quoted, line):
            return True
        if not line[0].islower() or len(quoted) < _WRAPPED_AT or quoted[-1] in "?？":
            return False
        return wrapping or quoted[-1] not in ".!:;。！：；"


def _prefix_of(line: str) -> str:
    return "|" if line[0] == "|" else line[: line.index(">") + 1]


def _is_rest_of_link(quoted: str, line: str) -> bool:
    opened = max(quoted.rfind("<http"), quoted.rfind("(http"))
    if opened < 0:
        return line[0] in "(<" and line[1:5] == "http" and " " not in line.rstrip(" )>")
    closing = ">" if quoted[opened] == "<" else ")"
    return closing not in quoted[opened:] and closing in line
