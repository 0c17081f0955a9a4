"""Find where the signature of an author's text starts, from the end up, one kind at a time."""

import re
from dataclasses import dataclass

from pipeline.processors.clean.reply.closings import (
    closing_kind,
    is_signed_closing,
    looks_like_name,
)
from pipeline.processors.clean.reply.device_lines import device_language
from pipeline.processors.clean.reply.footers import footer_kind, is_list_footer, may_start_footer
from pipeline.processors.clean.reply.header_blocks import is_horizontal_rule
from pipeline.processors.clean.reply.lines import TextLines
from pipeline.processors.clean.reply.signature_lines import (
    is_contact_line,
    is_profile_line,
    is_prose,
)


@dataclass(frozen=True, slots=True)
class SignatureCut:
    """The start of a signature, or of a piece of one, which ends at the next cut.

    ``start`` is an offset in the whole text.
    """

    start: int
    rule: str


# A signature below "--" has at most this many lines, one below a phrase or a drawn rule fewer;
# longer ones are text.
_MAX_BELOW_DELIMITER = 15
_MAX_BELOW_CLOSING = 14
_MAX_BELOW_RULE = 9
_MAX_MOTTO = 40
# Prose in a signature is a motto or an advertisement; more than two lines of it are a letter.
_MAX_PROSE = 2
# Legal footers are long, so they are searched further up than everything else.
_FOOTER_WINDOW = 80
# One round cuts one kind. A mail may have a closing, a delimiter, a device line and a footer,
# rarely more.
_MAX_ROUNDS = 8
# A telephone number and a name are enough; a title or a company alone is not.
_MIN_CONTACT_WEIGHT = 3
# "BR" or "LG" without a name can mean anything.
_MIN_LONE_CLOSING = 4
# A signature of 4,096-bit RSA takes some 16 lines, with comments and several keys a few more.
_MAX_PGP_LINES = 60
_DELIMITERS = frozenset({"--", "—", "––", "——", "__", "- -", "–", "−−", "***", "---"})
_DRAWN_PAIRS = ("--", "- -", "__", "_ _", "—", "–", "==", "= =", "**", "* *", "━", "─", "‐", "−")
# The longest closing phrase has some 60 characters.
_LONG_LINE = 64
_FOOTNOTE = re.compile(r"\[?\d{1,2}[\].)]\s")
_DASHES = "-–—~/"


def find_signature(
    lines: TextLines, *, only_text: bool, device_only: bool = False
) -> list[SignatureCut]:
    """Return the cuts of the signature at the end of an author's text, in order; empty if none.

    ``only_text`` says that the mail has no other text of its author, so that a guess must not empty
    it. ``device_only`` searches only for a device line, which is all that can be between quotes.
    """
    return _SignatureFinder(lines, only_text).run(device_only)


class _SignatureFinder:
    def __init__(self, lines: TextLines, only_text: bool) -> None:
        self.lines = lines
        self.clean = lines.clean
        self.only_text = only_text
        self.end = len(self.clean)
        self.first = self.lines.next_nonblank(0)
        self.cuts: list[SignatureCut] = []
        self.fenced = lines.code_fence_lines()
        # Delimiters and rules are two equal characters at least, except single dashes.
        self.may_have_delimiter = any(pair in lines.text for pair in _DRAWN_PAIRS)
        self.prose_cache: dict[int, bool] = {}
        self.closing_cut = False
        self.contact_searched = False

    def run(self, device_only: bool) -> list[SignatureCut]:
        if device_only:
            self._trim()
            if self.end > self.first:
                self._cut_at(self._device(), "device")
            return self.cuts
        self._cut_at(self._standard_delimiter(), "delimiter")
        self._cut_footer()
        for _ in range(_MAX_ROUNDS):
            self._trim()
            if self.end <= self.first or not self._cut_next():
                break
        self.cuts.reverse()
        return self.cuts

    def _trim(self) -> None:
        while self.end > 0 and not self.clean[self.end - 1]:
            self.end -= 1

    def _cut_next(self) -> bool:
        if (
            self._cut_at(self._pgp(), "pgp")
            or self._cut_at(self._device(), "device")
            or self._cut_at(self._delimiter(), "delimiter")
        ):
            return True
        last = self.clean[self.end - 1]
        # A closing, name or contact block does not follow long prose.
        if len(last) > _LONG_LINE and self._is_prose(self.end - 1) and not is_contact_line(last):
            return False
        return (
            self._cut_at(self._closing(), "closing")
            or self._cut_at(self._dashed_name(), "dashed_name")
            or self._cut_at(self._contact_block(), "contact")
        )

    def _cut_at(self, start: int | None, rule: str) -> bool:
        if start is None or start in self.fenced:
            return False
        self.cuts.append(SignatureCut(self.lines.starts[start], f"signature:{rule}"))
        self.end = start
        return True

    def _is_prose(self, at: int) -> bool:
        known = self.prose_cache.get(at)
        if known is None:
            known = self.prose_cache[at] = is_prose(self.clean[at])
        return known

    def _standard_delimiter(self) -> int | None:
        """Return the line of the delimiter "-- " (RFC 3676, section 4.3), which is certain."""
        if "-- " not in self.lines.text:
            return None
        for at, line in enumerate(self.lines.raw):
            if line.startswith("-- ") and line.rstrip("\r\n") == "-- " and at not in self.fenced:
                return at
        return None

    def _cut_footer(self) -> None:
        self._trim()
        for at in range(max(self.first, self.end - _FOOTER_WINDOW), self.end):
            line = self.clean[at]
            if not line:
                continue
            rule: str | None = None
            if line[0] in "_-=*" and is_rule_or_delimiter(line):
                is_list = is_list_footer(self.clean[at + 1 : min(at + 6, self.end)])
                rule = "list_footer" if is_list else None
            elif may_start_footer(line) and self._opens_paragraph(at):
                rule = footer_kind(self.clean, at)
            if rule and not (self.only_text and self._is_first_text(at)):
                self._cut_at(self._above_rules(at), rule)
                return

    def _opens_paragraph(self, at: int) -> bool:
        """Return whether a footer may start here: below a gap, a rule or short signature lines."""
        above = self.clean[at - 1] if at else ""
        return not above or is_horizontal_rule(above) or not self._is_prose(at - 1)

    def _is_first_text(self, at: int) -> bool:
        return all(not line or is_horizontal_rule(line) for line in self.clean[self.first : at])

    def _above_rules(self, at: int) -> int:
        """Return the line where drawn rules directly above a footer begin."""
        start = at
        above = at - 1
        while above > self.first and at - above <= 3:
            if self.clean[above]:
                if not is_rule_or_delimiter(self.clean[above]):
                    break
                start = above
            above -= 1
        return start

    def _pgp(self) -> int | None:
        """Return where the armoured signature (RFC 4880, section 7) that ends here starts."""
        if not self.clean[self.end - 1].startswith("-----END PGP SIGNATURE"):
            return None
        for at in range(self.end - 2, max(self.first, self.end - _MAX_PGP_LINES) - 1, -1):
            if self.clean[at].startswith("-----BEGIN PGP SIGNATURE"):
                return at
        return None

    def _device(self) -> int | None:
        nonblank = 0
        for at in range(self.end - 1, self.first - 1, -1):
            line = self.clean[at]
            if not line:
                continue
            if device_language(line) is not None:
                return None if at == self.first and nonblank and self.only_text else at
            nonblank += 1
            if nonblank > 8 or self._is_prose(at):
                return None
        return None

    def _delimiter(self) -> int | None:
        if not self.may_have_delimiter:
            return None
        nonblank = prose = 0
        for at in range(self.end - 1, self.first - 1, -1):
            line = self.clean[at]
            if not line:
                continue
            if line in _DELIMITERS and line not in ("---", "***"):
                return at
            if is_horizontal_rule(line):
                ruled = nonblank <= _MAX_BELOW_RULE and (
                    nonblank == 0 or self._looks_signed(at + 1, prose)
                )
                return at if ruled and (at > self.first or not self.only_text) else None
            nonblank += 1
            prose += self._is_prose(at)
            if nonblank > _MAX_BELOW_DELIMITER or prose > _MAX_PROSE:
                return None
        return None

    def _looks_signed(self, start: int, prose: int) -> bool:
        """Return whether the lines from ``start`` on look like a signature.

        They begin with a name, contain contact data, or are one short line.
        """
        nonblank = [self.clean[at] for at in range(start, self.end) if self.clean[at]]
        if len(nonblank) == 1 and len(nonblank[0]) <= _MAX_MOTTO:
            return True
        return not prose and (
            looks_like_name(nonblank[0])
            or any(map(is_contact_line, nonblank))
            or sum(map(is_profile_line, nonblank)) > 1
        )

    def _closing(self) -> int | None:
        if self.closing_cut:
            return None
        below: list[int] = []
        for at in range(self.end - 1, self.first - 1, -1):
            line = self.clean[at]
            if not line:
                continue
            if self._closes(line, at, below):
                self.closing_cut = True
                return self._with_closings_above(at)
            if self._is_prose(at) or len(below) >= _MAX_BELOW_CLOSING:
                return None
            below.append(at)
        return None

    def _closes(self, line: str, at: int, below: list[int]) -> bool:
        """Return whether the line is a closing; ``below`` are the lines below it, nearest last."""
        opens_text = at == self.first
        kind = closing_kind(line)
        if kind is None:
            return not opens_text and is_signed_closing(line)
        signed = bool(below) and looks_like_name(self.clean[below[-1]])
        if kind == "thanks":
            return signed and not (opens_text and self.only_text)
        if below:
            return signed or not opens_text
        return not opens_text and len(line) >= _MIN_LONE_CLOSING

    def _with_closings_above(self, at: int) -> int:
        """Include closing phrases directly above ("Thanks, / Kind regards,", "顺颂 / 商祺")."""
        start = at
        for above in range(at - 1, max(self.first, at - 4), -1):
            if self.clean[above]:
                if closing_kind(self.clean[above]) is None:
                    break
                start = above
        return start

    def _dashed_name(self) -> int | None:
        """Return the last line if it is a name after a dash ("-Ann", "– Ann Lee"), no list item."""
        at = self.end - 1
        line = self.clean[at]
        if at == self.first or line[0] not in _DASHES or line[:3] == "---" or len(line) > 32:
            return None
        name = line.lstrip(_DASHES).strip()
        close = not line[1:2].isspace()
        if not looks_like_name(name) and not (close and name.isalpha() and len(name) <= 12):
            return None
        above = at - 1
        while not self.clean[above]:
            above -= 1
        before = self.clean[above]
        if before[0] == line[0] or before[-1] in ":：":
            return None
        return at if above < at - 1 or before[-1] in ".!?。！？)" or close else None

    def _contact_block(self) -> int | None:
        """Return where a name with contact data below starts, without a closing phrase."""
        if self.contact_searched:
            return None
        self.contact_searched = True
        weight = nonblank = 0
        heavy = False
        start: int | None = None
        for at in range(self.end - 1, self.first - 1, -1):
            line = self.clean[at]
            if not line:
                continue
            own = 2 if is_contact_line(line) else 0
            if _FOOTNOTE.match(line) or (own == 0 and (self._is_prose(at) or _is_form_line(line))):
                break
            own = own or int(is_profile_line(line))
            nonblank += 1
            if nonblank > _MAX_BELOW_CLOSING:
                break
            weight += own
            heavy = heavy or own == 2
            if (
                heavy
                and weight >= _MIN_CONTACT_WEIGHT
                and own < 2
                and looks_like_name(line)
                and self._may_start(at)
            ):
                start = at
        return start

    def _may_start(self, at: int) -> bool:
        if at == self.first:
            return not self.only_text
        above = at - 1
        while above > self.first and not self.clean[above]:
            above -= 1
        if self.clean[above][-1:] in (":", "："):
            return False
        return above < at - 1 or self._is_prose(above) or is_horizontal_rule(self.clean[above])


def is_rule_or_delimiter(line: str) -> bool:
    """Return whether a line is drawn with dashes or underscores; two are enough."""
    return is_horizontal_rule(line) or line in _DELIMITERS


def _is_form_line(line: str) -> bool:
    """Return whether a line is "Label: value" of a form, which is content."""
    at = max(line.find(":", 0, 24), line.find("：", 0, 24))
    return 0 < at < len(line) - 1 and line[at + 1 : at + 3] != "//"
