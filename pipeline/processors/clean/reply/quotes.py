"""Find the quoted parts of a mail by a scan from the top for everything that starts a quote."""

import re
from dataclasses import dataclass

from pipeline.mail.quote_marks import OPEN_ENDED, parse_quote_mark
from pipeline.processors.clean.reply import attributions, header_blocks, separators
from pipeline.processors.clean.reply.attributions import AttributionEvidence
from pipeline.processors.clean.reply.device_lines import device_language
from pipeline.processors.clean.reply.lines import TextLines
from pipeline.processors.clean.reply.quote_prefixes import (
    ANGLE_CHARACTERS,
    QuotePrefixes,
    has_angle_prefix,
)
from pipeline.processors.clean.reply.signature_lines import is_prose


@dataclass(frozen=True, slots=True)
class QuoteSpan:
    """A quoted range (offsets in characters, end exclusive) and the rule that found it."""

    start: int
    end: int
    rule: str


@dataclass(frozen=True, slots=True)
class _QuoteHeader:
    """The lines that start a quote: offset of the first one, line after the last, and rule."""

    start: int
    end: int
    rule: str


_SEPARATOR_STARTS = frozenset("-_=*—–─━~<#+•")
_OPENING = ANGLE_CHARACTERS | _SEPARATOR_STARTS | frozenset("&|\ue000")
# Attributions without a colon: Zoho, Samsung, old Gmail ("2012/3/4 Ann <ann@example.com>"), bold
# ones.
_ENDING = ("wrote", "写道", "寫道", "-", ">", "*", "_")
_POSTSCRIPT = re.compile(r"p\.?\s?s\.?\b|附[:：言]|又及|另[:：，]", re.I)
# Longer runs of code are pasted without prefixes.
_MAX_CODE_LINES = 200
# Up to this many lines below a device line may still be a signature.
_SIGNATURE_LINES = 8


def find_quotes(lines: TextLines, *, strict: bool = False) -> list[QuoteSpan]:
    r"""Return the quoted ranges of a mail in order.

    ``strict`` does not protect the author's own use of ``>``: code fences, interpreter prompts,
    lone lines.

    >>> [span.rule for span in find_quotes(TextLines("Yes.\n\n> Shall we ship?\n"))]
    ['angle_quote']
    """
    return _QuoteScanner(lines, strict).run()


class _QuoteScanner:
    def __init__(self, lines: TextLines, strict: bool) -> None:
        self.lines = lines
        self.clean = lines.clean
        self.strict = strict
        self.fenced = frozenset[int]() if strict else lines.code_fence_lines()
        self.mark_ends = _match_marks(self.clean) if "\ue000" in lines.text else {}
        self.mark_closers = frozenset(end for end in self.mark_ends.values() if end is not None)
        self.spans: list[QuoteSpan] = []
        self.first_free_line = 0
        """The first line after the last quote: lines above it cannot belong to the next one."""
        self.has_author_text = False
        """Whether text of the author came before the current line."""
        self.prefixes = QuotePrefixes(self.lines)

    def run(self) -> list[QuoteSpan]:
        clean, count, prefixes = self.clean, len(self.clean), self.prefixes
        at = 0
        while at < count:
            line = clean[at]
            if not line:
                at += 1
                continue
            end = None
            # Nearly all lines of prose fail these cheap tests.
            if (
                line[0] in _OPENING
                or ":" in line
                or "：" in line
                or line.endswith(_ENDING)
                or ">" in line[1:4]
                or (prefixes.known_prefix and line.startswith(prefixes.known_prefix))
                or (
                    self.has_author_text
                    and not clean[at - 1]
                    and at + 1 < count
                    and not clean[at + 1]
                )
            ):
                end = self._quote_at(at, line)
            if end is None:
                self.has_author_text = True
                at += 1
            else:
                at = self.first_free_line = end
        return self.spans

    def _quote_at(self, at: int, line: str) -> int | None:
        """Add the quote that starts at this line; return the line after it, or None."""
        if has_angle_prefix(line):
            header = self._attribution_header(at) if self._closes_address(at, line) else None
            return self._add_prefixed_run(at) if header is None else self._add_quote_below(header)
        if at in self.mark_ends:
            return self._add_quote_below(self._mark_header(at))
        header = self._header_at(at, line)
        if header is not None:
            return self._add_quote_below(header)
        if at not in self.fenced and self.prefixes.starts_run(at, line):
            return self._add_prefixed_run(at)
        return self._add_quote_below_device_line(at, line)

    def _header_at(self, at: int, line: str) -> _QuoteHeader | None:
        last = line[-1]
        if line[0] in _SEPARATOR_STARTS or last in ":：":
            kind = separators.separator_kind(line)
            if kind is not None:
                return _QuoteHeader(self._start_above(at), at + 1, f"separator:{kind}")
        if (":" in line or "：" in line or line[0] == "|") and at not in self.fenced:
            opening = header_blocks.parse_first_header_line(line)
            block = self._block_header(at, opening) if opening else None
            if block is not None:
                return block
        if attributions.may_end_attribution(line):
            return self._attribution_header(at)
        return None

    def _block_header(
        self, at: int, first_field: tuple[header_blocks.HeaderField, str]
    ) -> _QuoteHeader | None:
        start = self._start_above(at)
        below_separator = start < self.lines.starts[at]
        at_mail_start = not (self.has_author_text or self.spans)
        end = header_blocks.header_block_end(
            self.clean,
            at,
            first_field,
            below_separator=below_separator,
            at_mail_start=at_mail_start,
        )
        if (
            end is None
            and self._is_own_paragraph(at)
            and header_blocks.has_sender_address(first_field)
        ):
            end = at + 1
        return None if end is None else _QuoteHeader(start, end, "header_block")

    def _is_own_paragraph(self, at: int) -> bool:
        """Return whether the line is a paragraph of its own, below text of the author."""
        alone = (
            at > self.first_free_line
            and not self.clean[at - 1]
            and at + 1 < len(self.clean)
            and not self.clean[at + 1]
        )
        return alone and self.has_author_text

    def _attribution_header(self, at: int) -> _QuoteHeader | None:
        above_quote = self._is_followed_by_quote(at)
        attribution = attributions.find_attribution(
            self.clean, at, self.first_free_line, above_quote=above_quote
        )
        if attribution is None or not (
            above_quote
            or attribution.evidence is AttributionEvidence.FULL
            or self._is_paragraph(attribution, at)
        ):
            if above_quote and attributions.is_quote_introduction(self.clean[at]):
                return _QuoteHeader(self.lines.starts[at], at + 1, "attribution:any")
            return None
        column = _cut_column(self.lines.raw[at]) if attribution.column else 0
        start = self.lines.starts[attribution.first] + column
        return _QuoteHeader(start, at + 1, f"attribution:{attribution.language}")

    def _closes_address(self, at: int, line: str) -> bool:
        """Return whether ``>`` closes a wrapped address: "<ann@example.com" above ">:"."""
        above = self.clean[at - 1] if at > self.first_free_line else ""
        return above.rfind("<") > above.rfind(">") and len(line) <= 20 and line[-1] in ":：e"

    def _is_paragraph(self, attribution: attributions.Attribution, last: int) -> bool:
        """Return whether an attribution with only a date is a paragraph with text below it."""
        if attribution.evidence < AttributionEvidence.DATE or last in self.fenced:
            return False
        opens = attribution.first == self.first_free_line or not self.clean[attribution.first - 1]
        return opens and last + 1 < self.lines.next_nonblank(last + 1) < len(self.clean)

    def _is_followed_by_quote(self, at: int) -> bool:
        """Return whether the next non-blank line is quoted."""
        next_line = self.lines.next_nonblank(at + 1)
        if next_line == len(self.clean) or next_line in self.fenced:
            return False
        return self._is_quoted_line(next_line) or self.prefixes.prefix_below_header(next_line) != ""

    def _mark_header(self, at: int) -> _QuoteHeader:
        end = self.mark_ends[at]
        name = parse_quote_mark(self.clean[at])
        return _QuoteHeader(
            self.lines.starts[at], at + 1 if end is None else end + 1, f"html:{name}"
        )

    def _add_quote_below(self, header: _QuoteHeader) -> int:
        """Add a header with the quote below it.

        The quote extends to its last prefixed line, or to the end if no line has a prefix.
        """
        count = len(self.clean)
        end = header.end
        while end - 1 not in self.mark_closers:
            at = self.lines.next_nonblank(end)
            if at == count:
                end = count
                break
            nested = self._nested_header(at)
            if nested is None:
                self.prefixes.known_prefix = (
                    self.prefixes.known_prefix or self.prefixes.prefix_below_header(at)
                )
                end = self.prefixes.run_end(at) if self.prefixes.is_quoted(at) else count
                break
            end = nested.end
        self.spans.append(QuoteSpan(header.start, self.lines.starts[end], header.rule))
        return end

    def _nested_header(self, at: int) -> _QuoteHeader | None:
        """Return a header directly after another one.

        Header lines below a title, an attribution below a mark.
        """
        if at in self.mark_ends:
            return self._mark_header(at)
        if self._is_quoted_line(at):
            return None
        first_field = header_blocks.parse_first_header_line(self.clean[at])
        end = (
            header_blocks.header_block_end(self.clean, at, first_field, below_separator=True)
            if first_field
            else None
        )
        if end is not None:
            return _QuoteHeader(self.lines.starts[at], end, "")
        for last in range(at, min(at + 4, len(self.clean))):
            line = self.clean[last]
            if not line:
                break
            if attributions.may_end_attribution(line):
                attribution = attributions.find_attribution(self.clean, last, at, above_quote=False)
                if (
                    attribution is not None
                    and attribution.first == at
                    and attribution.evidence is AttributionEvidence.FULL
                ):
                    return _QuoteHeader(self.lines.starts[at], last + 1, "")
        return None

    def _start_above(self, at: int) -> int:
        """Return the offset where a header at this line starts, with drawn rules above it."""
        start = at
        above = at - 1
        while above >= self.first_free_line and at - above <= 4:
            if self.clean[above]:
                if not header_blocks.is_horizontal_rule(self.clean[above]):
                    break
                start = above
            above -= 1
        return self.lines.starts[start]

    def _add_prefixed_run(self, at: int) -> int:
        end = self.prefixes.run_end(at)
        if not self.strict and self._is_author_text(at, end):
            self.has_author_text = True
            return end
        rule = "angle_quote" if has_angle_prefix(self.clean[at]) else "sign_quote"
        self.spans.append(QuoteSpan(self.lines.starts[at], self.lines.starts[end], rule))
        return end

    def _is_author_text(self, at: int, end: int) -> bool:
        """Return whether ``>`` is not a quote: code, a prompt, decoration, mbox's ">From "."""
        if at in self.fenced:
            return True
        line = self.clean[at]
        alone = end == at + 1
        if alone and (line.lstrip(">").startswith("From ") or ("<<" in line and ">>" in line)):
            return True
        if self.spans:
            return False
        if not line.startswith(">>> "):
            return self._shows_code(at, end)
        return all(part.startswith((">>> ", "...")) or not part for part in self.clean[at:end])

    def _shows_code(self, at: int, end: int) -> bool:
        """Return whether an author without quotes shows code after ``>``, below a colon."""
        above = at - 1
        while above >= 0 and not self.clean[above]:
            above -= 1
        if above < 0 or self.clean[above][-1] not in ":：" or end - at > _MAX_CODE_LINES:
            return False
        lines = [bare for line in self.clean[at:end] if (bare := line.lstrip("> "))]
        return (
            sum(line[-1] in "{}[]();,=" or line.endswith("=>") for line in lines) * 2
            > len(lines)
            > 1
        )

    def _is_quoted_line(self, at: int) -> bool:
        return (
            self.mark_ends[at] is not None if at in self.mark_ends else self.prefixes.is_quoted(at)
        )

    def _add_quote_below_device_line(self, at: int, line: str) -> int | None:
        """Add the paragraph below "Sent from my iPhone" as the quoted mail.

        The device line is between the new text and the old; some programs leave no other mark.
        """
        clean = self.clean
        if not self.has_author_text or at + 1 >= len(clean) or clean[at + 1] or clean[at - 1]:
            return None
        language = device_language(line)
        if language is None:
            return None
        next_line = self.lines.next_nonblank(at + 1)
        if next_line == len(clean) or _POSTSCRIPT.match(clean[next_line]):
            return None
        nonblank = 0
        for below in range(next_line, len(clean)):
            text = clean[below]
            if not text:
                continue
            if self._is_quoted_line(below) or self._header_at(below, text) is not None:
                return None
            nonblank += 1
            if is_prose(text) or nonblank > _SIGNATURE_LINES:
                start = self.lines.starts[at + 1]
                self.spans.append(
                    QuoteSpan(start, self.lines.starts[-1], f"after_device:{language}")
                )
                return len(clean)
        return None


def _match_marks(clean: list[str]) -> dict[int, int | None]:
    """Return for each line that opens a marked quote the line that closes it, or None."""
    ends: dict[int, int | None] = {}
    open_marks: list[int] = []
    for at, line in enumerate(clean):
        if line[:1] != "\ue000":
            continue
        name = parse_quote_mark(line)
        if name:
            ends[at] = None
            open_marks.append(at)
        elif name == "" and open_marks:
            opened = open_marks.pop()
            if parse_quote_mark(clean[opened]) not in OPEN_ENDED:
                ends[opened] = at
    return ends


def _cut_column(raw: str) -> int:
    """Return where "On …" starts in a line shared with the reply, including dashes before it."""
    column = max(raw.rfind(" On "), raw.rfind("-On "), 0)
    return len(raw[:column].rstrip(" -"))
