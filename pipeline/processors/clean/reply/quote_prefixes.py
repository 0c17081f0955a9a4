"""Prefixes of quoted lines: ``>`` in all its forms, and others that some programs use."""

import re

from pipeline.processors.clean.reply.lines import TextLines

ANGLE_CHARACTERS = frozenset(">＞")
_INITIALS = re.compile(r"[A-Z]{1,3}>(?=\s|$)")
# "-" and "*" are not included: they begin list items.
_OTHER_PREFIX = re.compile(r"--\]|=>|->|[|#:%\]}~+!](?![|#:%\]}~+!])")
# Prompts of command lines that look like initials.
_PROMPTS = ("C>", "PS>", "SQL>", "A>", "D>")
# A quoted line of this length was probably wrapped by a server, and its rest follows without a
# prefix.
_WRAPPED_AT = 60
_MAX_OVERFLOW = 100


def has_angle_prefix(line: str) -> bool:
    """Return whether a stripped line starts with ``>``, in ASCII, full width or as an entity.

    >>> has_angle_prefix("> Hi"), has_angle_prefix("&gt; Hi"), has_angle_prefix("Hi")
    (True, True, False)
    """
    return line[:1] in ANGLE_CHARACTERS or line.startswith("&gt;")


class QuotePrefixes:
    """The prefixes of quoted lines in one mail.

    ``known_prefix`` is a prefix other than ``>`` that a quote of this mail used.
    """

    __slots__ = ("_clean", "_plain_until", "known_prefix")

    def __init__(self, lines: TextLines) -> None:
        self._clean = lines.clean
        self.known_prefix = ""
        # Lines before this one are known not to be quoted by pipes or initials: each run is checked
        # once.
        self._plain_until = 0

    def is_quoted(self, at: int) -> bool:
        """Return whether a line has ``>``, the known prefix, or initials ("JD> text")."""
        line = self._clean[at]
        return (
            has_angle_prefix(line)
            or bool(self.known_prefix and line.startswith(self.known_prefix))
            or _INITIALS.match(line) is not None
        )

    def prefix_below_header(self, at: int) -> str:
        """Return the prefix other than ``>`` of the lines below an attribution: "| text", "# text".

        A last line proves nothing: where the rest of a mail is cut off, it must not become a quote.
        """
        match = _OTHER_PREFIX.match(self._clean[at])
        if match is None or self._clean[at][-1] == match[0] or at + 1 == len(self._clean):
            return ""
        below = self._clean[at + 1]
        return match[0] if not below or below.startswith(match[0]) else ""

    def starts_run(self, at: int, line: str) -> bool:
        """Return whether a run of lines with a prefix other than ``>`` starts here.

        There is no attribution above. The prefix is the known one, or at least two lines have a
        pipe or the same initials; lines of a table have more than one pipe.
        """
        if self.known_prefix and line.startswith(self.known_prefix):
            return True
        if at < self._plain_until or (line[0] != "|" and _INITIALS.match(line) is None):
            return False
        prefix = _prefix_of(line)
        end = at
        is_table = prefix in _PROMPTS
        while end < len(self._clean) and self._clean[end].startswith(prefix):
            is_table = is_table or (prefix == "|" and self._clean[end].count("|") > 1)
            end += 1
        if is_table or end - at < 2:
            self._plain_until = end
            return False
        return True

    def run_end(self, at: int) -> int:
        """Return the line after a run of quoted lines, with blank lines and wrapped rests in it."""
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
        prefix = (
            self.known_prefix
            if self.known_prefix and line.startswith(self.known_prefix)
            else _prefix_of(line)
        )
        last = at
        below = at + 1
        while below < len(self._clean) and (
            not self._clean[below] or self._clean[below].startswith(prefix)
        ):
            if self._clean[below]:
                last = below
            below += 1
        return last + 1

    def _is_wrapped_rest(self, above: int, at: int, wrapping: bool) -> bool:
        """Return whether a line without a prefix is the wrapped rest of the quoted line above it.

        Servers wrap quoted lines at some 76 columns and leave the rest without a prefix; links are
        wrapped inside their brackets. An answer of the author starts with a capital, is a paragraph
        of its own, or follows a short line.
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
