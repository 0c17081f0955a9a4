"""Recognise the block of header lines above a mail quoted by Outlook, Foxmail or Yahoo.

"From: … / Sent: … / To: … / Subject: …" in many languages: bold or not, with folded values, with
blank lines in between, as a table (NetEase) or all in one line (Yahoo).
"""

import re
from collections.abc import Sequence
from typing import Literal, get_args

from pipeline.processors.clean.reply.word_tables import read_table

HeaderField = Literal["from", "date", "to", "subject", "cc", "other"]

_SPACES = re.compile(r"[\s\u3000\xa0]+")
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def _normalise_name(name: str) -> str:
    """Normalise a name; Chinese and Korean ones lose their padding ("主　题", "보낸 사람")."""
    key = name.strip(" \t*_|>-·•\u3000\xa0").casefold()
    if key.isalpha():
        return key
    return _SPACES.sub("" if _HAN.search(key) else " ", key)


_TABLE = read_table("headers")
_FIELDS: dict[str, HeaderField] = {
    _normalise_name(name): field for field in get_args(HeaderField) for name in _TABLE[field]
}
_LONGEST_NAME = max(map(len, _FIELDS)) + 8
_ADDRESS = re.compile(r"[^\s<>@]@[^\s<>@]")
_DIGIT = re.compile(r"\d")
_CLOCK = re.compile(r"\d{1,2}\s?[:：.]\s?\d{2}|\d{1,2}[时時点點시]")
_RULE_CHARS = frozenset("-_=*—–─━‐ \t")
# A value may be folded over this many lines (most often long address lists in To and Cc).
_MAX_FOLDED = 4
_MAX_BLANK = 2
# A line with a label of up to this length is a line of a form; a folded subject may have a colon
# further on.
_LONGEST_LABEL = 16
_MAX_BLOCK = 24
_MAX_LINE = 2000
# Yahoo and flattened HTML put the whole block into one line; three names make one.
_INLINE_NAME = re.compile(r"(?:^|\s|>)([^\W\d_]{1,16}(?:\s(?:le|el|em|il))?)\s?[:：]\s?(?=\S)")


def parse_header_line(line: str) -> tuple[HeaderField, str] | None:
    """Return the field and value of a stripped header line, or None for any other line.

    >>> parse_header_line("Sent: 5 May 2024")
    ('date', '5 May 2024')
    """
    if line[0] == "|" and line.count("|") >= 2:
        cells = line.strip("| ").split("|", 1)
        field = _FIELDS.get(_normalise_name(cells[0].rstrip(" :：")))
        return (field, cells[1].strip(" |") if len(cells) > 1 else "") if field else None
    head = line[:_LONGEST_NAME]
    at = head.find(":")
    wide = head.find("：")
    at = wide if at < 0 else at if wide < 0 else min(at, wide)
    # Field names have no digits; times and addresses before a colon do.
    if at <= 0 or _DIGIT.search(head, 0, at):
        return None
    field = _FIELDS.get(_normalise_name(head[:at]))
    return (field, line[at + 1 :].strip(" *\t")) if field else None


def parse_first_header_line(line: str) -> tuple[HeaderField, str] | None:
    """Return field and value of a stripped line that can start a header block, or None."""
    field = parse_header_line(line)
    return None if field is None or field[0] == "other" else field


def header_block_end(
    lines: Sequence[str],
    first: int,
    first_field: tuple[HeaderField, str],
    *,
    below_separator: bool,
    at_mail_start: bool = False,
) -> int | None:
    """Return the index after the header block that starts at line ``first``, or None.

    ``lines`` are stripped; ``first_field`` is the parsed first line. ``below_separator`` says that
    a line of dashes or a title is above, so that a shorter block counts. ``at_mail_start`` says
    that nothing is above: then the block must have a date, because web forms send "From: … /
    Subject: …" above the text of the customer.
    """
    fields: dict[HeaderField, str] = {first_field[0]: first_field[1]}
    end = first + 1
    folded = blank = 0
    for at in range(first + 1, min(len(lines), first + _MAX_BLOCK)):
        line = lines[at]
        if not line:
            blank += 1
            if blank > _MAX_BLANK:
                break
            continue
        field = parse_header_line(line)
        if field is not None and (field[0] not in fields or field[0] in ("cc", "other")):
            fields[field[0]] = field[1]
            end = at + 1
            folded = blank = 0
        elif field is not None or blank or folded >= _MAX_FOLDED or _is_no_value(line):
            break
        else:
            folded += 1
            end = at + 1
            last = next(reversed(fields))
            fields[last] = f"{fields[last]} {line}"[:_MAX_LINE]
    if at_mail_start and "date" not in fields and not below_separator:
        return None
    if _is_block(fields, below_separator):
        return end
    return first + 1 if _is_single_line_block(lines[first]) else None


def _is_no_value(line: str) -> bool:
    """Return whether a line cannot continue a folded value: too long, or labelled itself."""
    at = max(line.find(":", 0, _LONGEST_LABEL), line.find("：", 0, _LONGEST_LABEL))
    labelled = at > 0 and line[at + 1 : at + 3] != "//" and not line[:at].lower().endswith("mailto")
    return labelled or len(line) > _MAX_LINE


def _is_block(fields: dict[HeaderField, str], below_separator: bool) -> bool:
    names = fields.keys() - {"other"}
    sender = fields.get("from", "")
    has_address = any(_ADDRESS.search(value) for value in fields.values())
    has_date = bool(_DIGIT.search(fields.get("date", "")))
    if len(names) >= 3:
        # Three names can also be a form ("From: London / To: Paris / Date: 5 May"); a subject or an
        # address decides.
        is_mail = "subject" in fields or has_address or (below_separator and "from" in fields)
        return is_mail and ("from" in fields or "date" in fields)
    if len(names) == 2:
        if "from" in fields:
            return (has_date or "subject" in fields or "to" in fields) and (
                below_separator or _ADDRESS.search(sender) is not None
            )
        return has_date and has_address and bool(_CLOCK.search(fields["date"]))
    return below_separator and _ADDRESS.search(sender) is not None


def _is_single_line_block(line: str) -> bool:
    if not 40 <= len(line) <= _MAX_LINE or not _ADDRESS.search(line):
        return False
    fields = {_FIELDS.get(_normalise_name(name)) for name in _INLINE_NAME.findall(line)}
    return len(fields & {"from", "date", "to", "subject"}) >= 3


def has_sender_address(field: tuple[HeaderField, str]) -> bool:
    """Return whether a field is a sender with an address ("From: Ann <ann@example.com>")."""
    return field[0] == "from" and _ADDRESS.search(field[1]) is not None


def is_horizontal_rule(line: str) -> bool:
    """Return whether a stripped line is a drawn rule: at least three dashes, "=", "_" or "*".

    >>> is_horizontal_rule("-----"), is_horizontal_rule("--")
    (True, False)
    """
    return (
        len(line) >= 3
        and line[0] in _RULE_CHARS
        and _RULE_CHARS.issuperset(line[:200])
        and len(set(line)) <= 2
    )
