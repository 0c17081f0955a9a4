"""Split a mail body into reply, quoted text and signature."""

from collections.abc import Iterable, Iterator, Sequence

from pipeline.mail.quote_marks import parse_quote_mark, remove_quote_marks
from pipeline.processors.clean.reply.lines import TextLines
from pipeline.processors.clean.reply.quotes import QuoteSpan, find_quotes
from pipeline.processors.clean.reply.signatures import find_signature
from pipeline.processors.clean.reply.split_result import PartKind, ReplyPart, ReplySplit

_Range = tuple[int, int]
# Whether these start a quote depends on lines further down: code fences close there, tables and
# runs of prefixed lines continue.
_CONTEXT_DEPENDENT = (">", "＞", "|", "```", "&gt;", "\ue000")


def split_reply(text: str) -> ReplySplit:
    r"""Split a mail body into reply, quotes and signature.

    `text` is plain text, or HTML rendered with quote marks. The offsets of the parts count
    characters of `text`. Accepts any text, in time linear in its length. Splitting the reply again
    finds no further quote.

    >>> split_reply("Yes, please.\n\nOn 5 May 2024 at 10:00, Ann wrote:\n> Shall we ship?").reply
    'Yes, please.'
    """
    lines = TextLines(text)
    parts = _cut_signatures(lines, _parts_by_quotes(lines, find_quotes(lines)))
    strict = False
    while not _is_final(text, parts):
        # Lines that were separated by quotes may form a quote when joined. The second round
        # protects no use of ">" by the author, so that nothing remains for a third.
        ranges = _shown_ranges(text, parts)
        more_quotes = find_quotes(
            TextLines("".join(text[start:end] for start, end in ranges)), strict=strict
        )
        if not more_quotes:
            break
        parts = _cut_quotes(parts, list(_to_text_offsets(more_quotes, ranges)))
        strict = True
    return _build_result(text, parts)


def _is_final(text: str, parts: Sequence[ReplyPart]) -> bool:
    """Return whether the reply is the plain start of the text: another round cannot change it."""
    replies = [part for part in parts if part.kind == "reply"]
    # Marks that cut nothing are dropped from the reply, so that lines around them are joined.
    if not replies or (len(parts) == 1 and "\ue000" not in text):
        return True
    reply = text[replies[0].start : replies[0].end]
    return (
        len(replies) == 1
        and replies[0].start == 0
        and not any(mark in reply for mark in _CONTEXT_DEPENDENT)
    )


def _parts_by_quotes(lines: TextLines, quotes: Iterable[QuoteSpan]) -> list[ReplyPart]:
    """Tile the text with quotes and the text between; blank lines below a quote belong to it."""
    parts: list[ReplyPart] = []
    end_of_last = 0
    for quote in quotes:
        _append_reply(parts, lines, end_of_last, quote.start)
        parts.append(ReplyPart("quoted", quote.start if parts else 0, quote.end, quote.rule))
        end_of_last = quote.end
    end = lines.starts[-1]
    _append_reply(parts, lines, end_of_last, end)
    return parts or ([ReplyPart("reply", 0, end, "")] if end else [])


def _append_reply(parts: list[ReplyPart], lines: TextLines, start: int, end: int) -> None:
    """Append text of the author.

    Blank lines above it stay with it only where they separate it from the author's previous text.
    """
    first_text = min(lines.nonblank_offset(start), end)
    separated = len(parts) < 2 or lines.is_blank_before(parts[-1].start)
    if parts and first_text > start and (separated or first_text == end):
        last = parts.pop()
        parts.append(ReplyPart(last.kind, last.start, first_text, last.rule))
        start = first_text
    if first_text < end:
        parts.append(ReplyPart("reply", start, end, ""))


def _cut_signatures(lines: TextLines, parts: Sequence[ReplyPart]) -> list[ReplyPart]:
    """Cut signatures at the end of the author's first and last text, device lines anywhere."""
    replies = [at for at, part in enumerate(parts) if part.kind == "reply"]
    split_parts: dict[int, list[ReplyPart]] = {}
    # The last text is handled first: if all of it is a signature, the first one is all that the
    # author wrote.
    texts_left = len(replies)
    for at in reversed(replies):
        outer = at in (replies[0], replies[-1])
        split_parts[at] = _split_signature(
            lines, parts[at], only_text=texts_left == 1, device_only=not outer
        )
        texts_left -= split_parts[at][0].kind != "reply"
    return [
        part_or_piece
        for at, part in enumerate(parts)
        for part_or_piece in split_parts.get(at, (part,))
    ]


def _split_signature(
    lines: TextLines, part: ReplyPart, *, only_text: bool, device_only: bool
) -> list[ReplyPart]:
    cuts = find_signature(
        lines.slice(part.start, part.end), only_text=only_text, device_only=device_only
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
    spans: Iterable[QuoteSpan], ranges: Sequence[_Range]
) -> Iterator[tuple[int, int, str]]:
    """Yield where spans of the joined reply are in the text; both are in order: one pass."""
    at = offset = 0
    for span in spans:
        while at < len(ranges):
            start, end = ranges[at]
            low, high = max(span.start, offset), min(span.end, offset + end - start)
            if low < high:
                yield start + low - offset, start + high - offset, span.rule
            if span.end < offset + end - start:
                break
            offset += end - start
            at += 1


def _cut_quotes(
    parts: Iterable[ReplyPart], ranges: Sequence[tuple[int, int, str]]
) -> list[ReplyPart]:
    """Turn ranges of the reply, in order, into quoted parts."""
    result: list[ReplyPart] = []
    at = 0
    for part in parts:
        start = part.start
        while part.kind == "reply" and at < len(ranges) and ranges[at][0] < part.end:
            low, high, rule = ranges[at]
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
    # The first non-blank line keeps its indentation; blank lines above it are removed.
    blank = len(body) - len(body.lstrip())
    return body[blank - len(body[: blank + 1].splitlines()[-1]) + 1 :]


def _flags(text: str, parts: Sequence[ReplyPart], reply: str) -> tuple[str, ...]:
    if len(parts) == 1 and parts[0].kind == "reply":
        return ()
    flags = []
    reply_indexes = [
        at
        for at, part in enumerate(parts)
        if part.kind == "reply" and remove_quote_marks(text[part.start : part.end]).strip()
    ]
    first_quoted = next((at for at, part in enumerate(parts) if part.kind == "quoted"), len(parts))
    if reply_indexes and reply_indexes[-1] > first_quoted:
        flags.append("inline_reply")
        if reply_indexes[0] > first_quoted:
            flags.append("bottom_reply")
    if not reply and remove_quote_marks(text).strip():
        flags.append("empty_reply")
    if any(part.rule == "separator:forwarded" for part in parts):
        flags.append("forwarded")
    return tuple(flags)
