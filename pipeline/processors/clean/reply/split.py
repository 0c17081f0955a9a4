"""Telling apart what the author of a mail wrote now, what he quotes, and his signature."""

from collections.abc import Iterable, Iterator, Sequence

from pipeline.mail.quote_marks import parse_quote_mark, remove_quote_marks
from pipeline.processors.clean.reply.lines import TextLines
from pipeline.processors.clean.reply.quotes import QuoteSpan, find_quotes
from pipeline.processors.clean.reply.signatures import find_signature
from pipeline.processors.clean.reply.split_result import PartKind, ReplyPart, ReplySplit

_Range = tuple[int, int]
# Whether these open a quote depends on lines further down: code fences close there, tables and runs
# go on.
_CONTEXT_DEPENDENT = (">", "＞", "|", "```", "&gt;", "\ue000")


def split_reply(text: str) -> ReplySplit:
    """Split a mail body (plain text, or HTML rendered with quote marks) into reply, quotes and
    signature.

    Offsets of the parts are characters of ``text``. Any text is taken, in time linear in its
    length; splitting the reply again finds no further quote.
    """
    lines = TextLines(text)
    parts = _cut_signatures(lines, _parts_by_quotes(lines, find_quotes(lines)))
    strict = False
    while not _is_final(text, parts):
        # Lines that quotes kept apart may open a quote once they meet. The second round protects
        # nothing of the author's use of ">", so that it leaves nothing for a third.
        shown = _shown_ranges(text, parts)
        again = find_quotes(
            TextLines("".join(text[start:end] for start, end in shown)), strict=strict
        )
        if not again:
            break
        parts = _cut_quotes(parts, list(_to_text_offsets(again, shown)))
        strict = True
    return _build_result(text, parts)


def _is_final(text: str, parts: Sequence[ReplyPart]) -> bool:
    """Return whether the reply is the plain beginning of the text, where cutting the rest can
    change nothing.
    """
    own = [part for part in parts if part.kind == "reply"]
    # Marks that cut nothing are dropped from what is shown, and their neighbours meet.
    if not own or (len(parts) == 1 and "\ue000" not in text):
        return True
    reply = text[own[0].start : own[0].end]
    return (
        len(own) == 1
        and own[0].start == 0
        and not any(sign in reply for sign in _CONTEXT_DEPENDENT)
    )


def _parts_by_quotes(lines: TextLines, quotes: Iterable[QuoteSpan]) -> list[ReplyPart]:
    """Tile the text with its quotes and what is between them; blank lines below a quote belong to
    it.
    """
    parts: list[ReplyPart] = []
    done = 0
    for quote in quotes:
        _append_reply(parts, lines, done, quote.start)
        parts.append(ReplyPart("quoted", quote.start if parts else 0, quote.end, quote.rule))
        done = quote.end
    end = lines.starts[-1]
    _append_reply(parts, lines, done, end)
    return parts or ([ReplyPart("reply", 0, end, "")] if end else [])


def _append_reply(parts: list[ReplyPart], lines: TextLines, start: int, end: int) -> None:
    """Append the author's stretch. Blank lines above it stay with it only where they part it from
    his last one.
    """
    filled = min(lines.nonblank_offset(start), end)
    parted = len(parts) < 2 or lines.is_blank_before(parts[-1].start)
    if parts and filled > start and (parted or filled == end):
        last = parts.pop()
        parts.append(ReplyPart(last.kind, last.start, filled, last.rule))
        start = filled
    if filled < end:
        parts.append(ReplyPart("reply", start, end, ""))


def _cut_signatures(lines: TextLines, parts: Sequence[ReplyPart]) -> list[ReplyPart]:
    """Cut signatures: at the end of the author's first stretch and of his last one; device lines
    anywhere.
    """
    own = [at for at, part in enumerate(parts) if part.kind == "reply"]
    cut: dict[int, list[ReplyPart]] = {}
    # The last stretch goes first: if it is all signature, the first one is all the author wrote.
    written = len(own)
    for at in reversed(own):
        outer = at in (own[0], own[-1])
        cut[at] = _split_signature(lines, parts[at], alone=written == 1, device_only=not outer)
        written -= cut[at][0].kind != "reply"
    return [piece for at, part in enumerate(parts) for piece in cut.get(at, (part,))]


def _split_signature(
    lines: TextLines, part: ReplyPart, *, alone: bool, device_only: bool
) -> list[ReplyPart]:
    cuts = find_signature(
        lines.slice(part.start, part.end), only_text=alone, device_only=device_only
    )
    if not cuts:
        return [part]
    pieces: list[ReplyPart] = []
    start = cuts[0].start
    if lines.nonblank_offset(part.start) < start:
        pieces.append(ReplyPart("reply", part.start, start, ""))
    else:
        start = part.start
    for cut, after in zip(cuts, [*cuts[1:], None], strict=True):
        end = part.end if after is None else after.start
        pieces.append(ReplyPart("signature", start, end, cut.rule))
        start = end
    return pieces


def _shown_ranges(text: str, parts: Iterable[ReplyPart]) -> list[_Range]:
    """Return the ranges of the text that make up the reply, without mark lines and outer blank
    lines.
    """
    ranges = [(part.start, part.end) for part in parts if part.kind == "reply"]
    if "\ue000" in text:
        ranges = [piece for start, end in ranges for piece in _without_mark_lines(text, start, end)]
    while ranges and not text[ranges[-1][0] : ranges[-1][1]].strip():
        ranges.pop()
    if not ranges:
        return []
    last_start, last_end = ranges[-1]
    ranges[-1] = (last_start, last_start + len(text[last_start:last_end].rstrip()))
    return ranges


def _without_mark_lines(text: str, start: int, end: int) -> list[_Range]:
    ranges: list[_Range] = []
    for line in text[start:end].splitlines(keepends=True):
        after = start + len(line)
        if parse_quote_mark(line) is None:
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], after)
            else:
                ranges.append((start, after))
        start = after
    return ranges


def _to_text_offsets(
    spans: Iterable[QuoteSpan], shown: Sequence[_Range]
) -> Iterator[tuple[int, int, str]]:
    """Yield where stretches of the joined reply stand in the text; both are in order, so one walk
    does.
    """
    at = offset = 0
    for span in spans:
        while at < len(shown):
            start, end = shown[at]
            low, high = max(span.start, offset), min(span.end, offset + end - start)
            if low < high:
                yield start + low - offset, start + high - offset, span.rule
            if span.end < offset + end - start:
                break
            offset += end - start
            at += 1


def _cut_quotes(
    parts: Iterable[ReplyPart], pieces: Sequence[tuple[int, int, str]]
) -> list[ReplyPart]:
    """Turn pieces of the reply, in order, into quoted parts."""
    result: list[ReplyPart] = []
    at = 0
    for part in parts:
        start = part.start
        while part.kind == "reply" and at < len(pieces) and pieces[at][0] < part.end:
            low, high, rule = pieces[at]
            if start < low:
                result.append(ReplyPart("reply", start, low, ""))
            result.append(ReplyPart("quoted", low, high, rule))
            start = high
            at += 1
        if start < part.end:
            result.append(ReplyPart(part.kind, start, part.end, part.rule))
    return result


def _build_result(text: str, parts: Sequence[ReplyPart]) -> ReplySplit:
    reply = _joined(text, parts, "reply")
    return ReplySplit(
        reply=reply,
        quoted=_joined(text, parts, "quoted"),
        signature=_joined(text, parts, "signature"),
        parts=tuple(parts),
        rules=tuple(dict.fromkeys([part.rule for part in parts if part.rule])),
        flags=_flags(text, parts, reply),
    )


def _joined(text: str, parts: Iterable[ReplyPart], kind: PartKind) -> str:
    pieces = [text[part.start : part.end] for part in parts if part.kind == kind]
    if not pieces:
        return ""
    body = remove_quote_marks("".join(pieces)).rstrip()
    if not body or not body[0].isspace():
        return body
    # The first filled line keeps its indentation; blank lines above it go.
    blank = len(body) - len(body.lstrip())
    return body[blank - len(body[: blank + 1].splitlines()[-1]) + 1 :]


def _flags(text: str, parts: Sequence[ReplyPart], reply: str) -> tuple[str, ...]:
    if len(parts) == 1 and parts[0].kind == "reply":
        return ()
    flags = []
    written = [
        at
        for at, part in enumerate(parts)
        if part.kind == "reply" and remove_quote_marks(text[part.start : part.end]).strip()
    ]
    quoted = next((at for at, part in enumerate(parts) if part.kind == "quoted"), len(parts))
    if written and written[-1] > quoted:
        flags.append("inline_reply")
        if written[0] > quoted:
            flags.append("bottom_reply")
    if not reply and remove_quote_marks(text).strip():
        flags.append("empty_reply")
    if any(part.rule == "separator:forwarded" for part in parts):
        flags.append("forwarded")
    return tuple(flags)
