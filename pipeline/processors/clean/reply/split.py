"""Telling apart what the author of a mail wrote now, what he quotes, and his signature."""

from collections.abc import Iterable, Sequence

from pipeline.processors.clean.reply.marks import drop_marks, read_mark
from pipeline.processors.clean.reply.model import Kind, Part, Split
from pipeline.processors.clean.reply.quotes import Span, find_quotes
from pipeline.processors.clean.reply.signatures import find_signature

_Range = tuple[int, int]
# Whether these open a quote depends on lines further down: code fences close there, tables and runs go on.
_TOUCHY = (">", "＞", "|", "```", "&gt;", "\ue000")


def split_reply(text: str) -> Split:
    """Split a mail body (plain text, or HTML rendered with quote marks) into reply, quotes and signature.

    Offsets of the parts are characters of ``text``. Any text is taken, in time linear in its length; splitting the
    reply again finds no further quote.
    """
    parts = _without_signatures(text, _without_quotes(text, find_quotes(text)))
    strict = False
    while not _is_settled(text, parts):
        # Lines that quotes kept apart may open a quote once they meet. The second round protects nothing of the
        # author's use of ">", so that it leaves nothing for a third.
        shown = _shown_ranges(text, parts)
        again = find_quotes("".join(text[start:end] for start, end in shown), strict=strict)
        if not again:
            break
        parts = _cut_again(parts, [piece for span in again for piece in _located(span, shown)])
        strict = True
    return _assembled(text, parts)


def _is_settled(text: str, parts: Sequence[Part]) -> bool:
    """Return whether the reply is the plain beginning of the text, where cutting the rest can change nothing."""
    own = [part for part in parts if part.kind == "reply"]
    if len(parts) == 1 or not own:
        return True
    reply = text[own[0].start : own[0].end]
    return len(own) == 1 and own[0].start == 0 and not any(sign in reply for sign in _TOUCHY)


def _without_quotes(text: str, quotes: Iterable[Span]) -> list[Part]:
    """Tile the text with its quotes and what is between them; blank lines below a quote belong to it."""
    parts: list[Part] = []
    done = 0
    for quote in quotes:
        _append_own(parts, text, done, quote.start)
        start = quote.start if parts else 0
        parts.append(Part("quoted", start, quote.end, quote.rule))
        done = quote.end
    _append_own(parts, text, done, len(text))
    if not parts and text:
        parts.append(Part("reply", 0, len(text), ""))
    return parts


def _append_own(parts: list[Part], text: str, start: int, end: int) -> None:
    own = text[start:end]
    written = _first_line(own)
    if parts and written:
        last = parts.pop()
        parts.append(Part(last.kind, last.start, start + written, last.rule))
        start += written
    if start < end and (parts or written < len(own)):
        parts.append(Part("reply", start, end, ""))


def _first_line(text: str) -> int:
    """Return the offset of the first line that is not blank, or the length of the text."""
    if text and not text[0].isspace():
        return 0
    blank = len(text) - len(text.lstrip())
    return blank - len(text[: blank + 1].splitlines()[-1]) + 1 if blank < len(text) else blank


def _without_signatures(text: str, parts: Sequence[Part]) -> list[Part]:
    """Cut signatures: at the end of the author's first stretch and of his last one; device lines anywhere."""
    own = [at for at, part in enumerate(parts) if part.kind == "reply"]
    cut: dict[int, list[Part]] = {}
    # The last stretch goes first: if it is all signature, the first one is all the author wrote.
    for at in reversed(own):
        others = any(
            any(part.kind == "reply" for part in cut.get(other, (parts[other],))) for other in own if other != at
        )
        cut[at] = _signed(text, parts[at], alone=not others, device_only=at not in (own[0], own[-1]))
    return [piece for at, part in enumerate(parts) for piece in cut.get(at, (part,))]


def _signed(text: str, part: Part, *, alone: bool, device_only: bool) -> list[Part]:
    cuts = find_signature(text[part.start : part.end], alone=alone, device_only=device_only)
    pieces: list[Part] = []
    if not cuts:
        return [part]
    start = part.start + cuts[0].start
    if text[part.start : start].strip():
        pieces.append(Part("reply", part.start, start, ""))
    else:
        start = part.start
    for cut, after in zip(cuts, [*cuts[1:], None], strict=True):
        end = part.end if after is None else part.start + after.start
        pieces.append(Part("signature", start, end, cut.rule))
        start = end
    return pieces


def _shown_ranges(text: str, parts: Iterable[Part]) -> list[_Range]:
    """Return the ranges of the text that make up the reply, without mark lines and outer blank lines."""
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


def _located(span: Span, shown: Sequence[_Range]) -> list[tuple[int, int, str]]:
    """Return where a stretch of the joined reply stands in the text."""
    found = []
    offset = 0
    for start, end in shown:
        low, high = max(span.start, offset), min(span.end, offset + end - start)
        if low < high:
            found.append((start + low - offset, start + high - offset, span.rule))
        offset += end - start
    return found


def _cut_again(parts: Iterable[Part], pieces: Sequence[tuple[int, int, str]]) -> list[Part]:
    result: list[Part] = []
    for part in parts:
        start = part.start
        if part.kind == "reply":
            for low, high, rule in pieces:
                if part.start <= low < part.end:
                    if start < low:
                        result.append(Part("reply", start, low, ""))
                    result.append(Part("quoted", low, high, rule))
                    start = high
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
    return body[_first_line(body) :]


def _flags(text: str, parts: Sequence[Part], reply: str) -> tuple[str, ...]:
    if len(parts) == 1 and parts[0].kind == "reply":
        return ()
    flags = []
    written = [
        at for at, part in enumerate(parts) if part.kind == "reply" and drop_marks(text[part.start : part.end]).strip()
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
