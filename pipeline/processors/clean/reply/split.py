"""Telling apart what the author of a mail wrote now, what he quotes, and his signature."""

from collections.abc import Iterable, Iterator, Sequence

from pipeline.mail.quote_marks import drop_marks, read_mark
from pipeline.processors.clean.reply.lines import Lines
from pipeline.processors.clean.reply.quotes import Span, find_quotes
from pipeline.processors.clean.reply.signatures import find_signature
from pipeline.processors.clean.reply.split_result import Kind, Part, Split

_Range = tuple[int, int]
# Whether these open a quote depends on lines further down: code fences close there, tables and runs
# go on.
_TOUCHY = (">", "＞", "|", "```", "&gt;", "\ue000")


def split_reply(text: str) -> Split:
    """Split a mail body (plain text, or HTML rendered with quote marks) into reply, quotes and
    signature.

    Offsets of the parts are characters of ``text``. Any text is taken, in time linear in its
    length; splitting the reply again finds no further quote.
    """
    lines = Lines(text)
    parts = _without_signatures(lines, _without_quotes(lines, find_quotes(lines)))
    strict = False
    while not _is_settled(text, parts):
        # Lines that quotes kept apart may open a quote once they meet. The second round protects
        # nothing of the author's use of ">", so that it leaves nothing for a third.
        shown = _shown_ranges(text, parts)
        again = find_quotes(Lines("".join(text[start:end] for start, end in shown)), strict=strict)
        if not again:
            break
        parts = _cut_again(parts, list(_located(again, shown)))
        strict = True
    return _assembled(text, parts)


def _is_settled(text: str, parts: Sequence[Part]) -> bool:
    """Return whether the reply is the plain beginning of the text, where cutting the rest can
    change nothing.
    """
    own = [part for part in parts if part.kind == "reply"]
    # Marks that cut nothing are dropped from what is shown, and their neighbours meet.
    if not own or (len(parts) == 1 and "\ue000" not in text):
        return True
    reply = text[own[0].start : own[0].end]
    return len(own) == 1 and own[0].start == 0 and not any(sign in reply for sign in _TOUCHY)


def _without_quotes(lines: Lines, quotes: Iterable[Span]) -> list[Part]:
    """Tile the text with its quotes and what is between them; blank lines below a quote belong to
    it.
    """
    parts: list[Part] = []
    done = 0
    for quote in quotes:
        _append_own(parts, lines, done, quote.start)
        parts.append(Part("quoted", quote.start if parts else 0, quote.end, quote.rule))
        done = quote.end
    end = lines.starts[-1]
    _append_own(parts, lines, done, end)
    return parts or ([Part("reply", 0, end, "")] if end else [])


def _append_own(parts: list[Part], lines: Lines, start: int, end: int) -> None:
    """Append the author's stretch. Blank lines above it stay with it only where they part it from
    his last one.
    """
    filled = min(lines.first_filled(start), end)
    parted = len(parts) < 2 or lines.is_blank_above(parts[-1].start)
    if parts and filled > start and (parted or filled == end):
        last = parts.pop()
        parts.append(Part(last.kind, last.start, filled, last.rule))
        start = filled
    if filled < end:
        parts.append(Part("reply", start, end, ""))


def _without_signatures(lines: Lines, parts: Sequence[Part]) -> list[Part]:
    """Cut signatures: at the end of the author's first stretch and of his last one; device lines
    anywhere.
    """
    own = [at for at, part in enumerate(parts) if part.kind == "reply"]
    cut: dict[int, list[Part]] = {}
    # The last stretch goes first: if it is all signature, the first one is all the author wrote.
    written = len(own)
    for at in reversed(own):
        outer = at in (own[0], own[-1])
        cut[at] = _signed(lines, parts[at], alone=written == 1, device_only=not outer)
        written -= cut[at][0].kind != "reply"
    return [piece for at, part in enumerate(parts) for piece in cut.get(at, (part,))]


def _signed(lines: Lines, part: Part, *, alone: bool, device_only: bool) -> list[Part]:
    cuts = find_signature(lines.stretch(part.start, part.end), alone=alone, device_only=device_only)
    if not cuts:
        return [part]
    pieces: list[Part] = []
    start = cuts[0].start
    if lines.first_filled(part.start) < start:
        pieces.append(Part("reply", part.start, start, ""))
    else:
        start = part.start
    for cut, after in zip(cuts, [*cuts[1:], None], strict=True):
        end = part.end if after is None else after.start
        pieces.append(Part("signature", start, end, cut.rule))
        start = end
    return pieces


def _shown_ranges(text: str, parts: Iterable[Part]) -> list[_Range]:
    """Return the ranges of the text that make up the reply, without mark lines and outer blank
    lines.
    """
    ranges = [(part.start, part.end) for part in parts if part.kind == "reply"]
    if "\ue000" in text:
        ranges = [piece for start, end in ranges for piece in _unmarked(text, start, end)]
    while ranges and not text[ranges[-1][0] : ranges[-1][1]].strip():
        ranges.pop()
    if not ranges:
        return []
    last_start, last_end = ranges[-1]
    ranges[-1] = (last_start, last_start + len(text[last_start:last_end].rstrip()))
    return ranges


def _unmarked(text: str, start: int, end: int) -> list[_Range]:
    ranges: list[_Range] = []
    for line in text[start:end].splitlines(keepends=True):
        after = start + len(line)
        if read_mark(line) is None:
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], after)
            else:
                ranges.append((start, after))
        start = after
    return ranges


def _located(spans: Iterable[Span], shown: Sequence[_Range]) -> Iterator[tuple[int, int, str]]:
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


def _cut_again(parts: Iterable[Part], pieces: Sequence[tuple[int, int, str]]) -> list[Part]:
    """Turn pieces of the reply, in order, into quoted parts."""
    result: list[Part] = []
    at = 0
    for part in parts:
        start = part.start
        while part.kind == "reply" and at < len(pieces) and pieces[at][0] < part.end:
            low, high, rule = pieces[at]
            if start < low:
                result.append(Part("reply", start, low, ""))
            result.append(Part("quoted", low, high, rule))
            start = high
            at += 1
        if start < part.end:
            result.append(Part(part.kind, start, part.end, part.rule))
    return result


def _assembled(text: str, parts: Sequence[Part]) -> Split:
    reply = _joined(text, parts, "reply")
    return Split(
        reply=reply,
        quoted=_joined(text, parts, "quoted"),
        signature=_joined(text, parts, "signature"),
        parts=tuple(parts),
        rules=tuple(dict.fromkeys([part.rule for part in parts if part.rule])),
        flags=_flags(text, parts, reply),
    )


def _joined(text: str, parts: Iterable[Part], kind: Kind) -> str:
    pieces = [text[part.start : part.end] for part in parts if part.kind == kind]
    if not pieces:
        return ""
    body = drop_marks("".join(pieces)).rstrip()
    if not body or not body[0].isspace():
        return body
    # The first filled line keeps its indentation; blank lines above it go.
    blank = len(body) - len(body.lstrip())
    return body[blank - len(body[: blank + 1].splitlines()[-1]) + 1 :]


def _flags(text: str, parts: Sequence[Part], reply: str) -> tuple[str, ...]:
    if len(parts) == 1 and parts[0].kind == "reply":
        return ()
    flags = []
    written = [
        at
        for at, part in enumerate(parts)
        if part.kind == "reply" and drop_marks(text[part.start : part.end]).strip()
    ]
    quoted = next((at for at, part in enumerate(parts) if part.kind == "quoted"), len(parts))
    if written and written[-1] > quoted:
        flags.append("inline_reply")
        if written[0] > quoted:
            flags.append("bottom_reply")
    if not reply and drop_marks(text).strip():
        flags.append("empty_reply")
    if any(part.rule == "separator:forwarded" for part in parts):
        flags.append("forwarded")
    return tuple(flags)
