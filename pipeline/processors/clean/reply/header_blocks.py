"""The block of header lines with which Outlook, Foxmail, Yahoo and forwards open the mail they
quote.

"From: … / Sent: … / To: … / Subject: …" in the words of many languages, bold or not, with folded
values, with blank lines between, as a table (NetEase) or run together in one line (Yahoo).
"""

import re
from collections.abc import Sequence
from typing import Literal, get_args

from pipeline.processors.clean.reply.word_tables import read_table

HeaderField = Literal["from", "date", "to", "subject", "cc", "other"]

_SPACES = re.compile(r"[\s\u3000\xa0]+")
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def _normalise_name(name: str) -> str:
    """Fold a name; Chinese and Korean ones are padded at will ("主　题", "보낸 사람"), so their spaces
    go.
    """
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
# A value may be folded over this many lines (long address lists in To and Cc more often than not
# are).
_MAX_FOLDED = 4
_MAX_BLANK = 2
# "Telephone:" within a form; a folded subject may have a colon further on.
_LONGEST_LABEL = 16
_MAX_BLOCK = 24
_MAX_LINE = 2000
# Yahoo and flattened HTML put the whole block into one line; three names make one.
_INLINE_NAME = re.compile(r"(?:^|\s|>)([^\W\d_]{1,16}(?:\s(?:le|el|em|il))?)\s?[:：]\s?(?=\S)")


def parse_header_line(line: str) -> tuple[HeaderField, str] | None:
    """Return the field a stripped line gives and its value, or None where it is no header line."""
    if line[0] == "|" and line.count("|") >= 2:
        cells = line.strip("| ").split("|", 1)
        field = _FIELDS.get(_normalise_name(cells[0].rstrip(" :：")))
        return (field, cells[1].strip(" |") if len(cells) > 1 else "") if field else None
    head = line[:_LONGEST_NAME]
    at = head.find(":")
    wide = head.find("：")
    at = wide if at < 0 else at if wide < 0 else min(at, wide)
    # Names have no digits; times and addresses before a colon do.
    if at <= 0 or _DIGIT.search(head, 0, at):
        return None
    field = _FIELDS.get(_normalise_name(head[:at]))
    return (field, line[at + 1 :].strip(" *\t")) if field else None


def parse_first_header_line(line: str) -> tuple[HeaderField, str] | None:
    """Return the field and value of a stripped line that a header block may start with, or None."""
    found = parse_header_line(line)
    return None if found is None or found[0] == "other" else found


def header_block_end(
    lines: Sequence[str],
    first: int,
    first_field: tuple[HeaderField, str],
    *,
    below_separator: bool,
    at_mail_start: bool = False,
) -> int | None:
    """Return the index after the header block that starts at line ``first``, or None where there is
    none.

    ``lines`` are stripped, ``opening`` is the opening field of the first. ``separated`` says that a
    line of dashes or a title stands above, which lets a shorter block count. ``opens_mail`` says
    that nothing at all stands above: then it must have a date, since web forms send "From: … /
    Subject: …" above what the customer wrote.
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
        found = parse_header_line(line)
        if found is not None and (found[0] not in fields or found[0] in ("cc", "other")):
            fields[found[0]] = found[1]
            end = at + 1
            folded = blank = 0
        elif found is not None or blank or folded >= _MAX_FOLDED or _is_no_value(line):
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
    """Return whether a line cannot be the rest of a folded value: it is too long, or has a label of
    its own.
    """
    at = max(line.find(":", 0, _LONGEST_LABEL), line.find("：", 0, _LONGEST_LABEL))
    labelled = at > 0 and line[at + 1 : at + 3] != "//" and not line[:at].lower().endswith("mailto")
    return labelled or len(line) > _MAX_LINE


def _is_block(fields: dict[HeaderField, str], separated: bool) -> bool:
    named = fields.keys() - {"other"}
    sender = fields.get("from", "")
    addressed = any(_ADDRESS.search(value) for value in fields.values())
    dated = bool(_DIGIT.search(fields.get("date", "")))
    if len(named) >= 3:
        # Three names alone are also a form ("From: London / To: Paris / Date: 5 May"): a subject or
        # an address tells.
        certain = "subject" in fields or addressed or (separated and "from" in fields)
        return certain and ("from" in fields or "date" in fields)
    if len(named) == 2:
        if "from" in fields:
            return (dated or "subject" in fields or "to" in fields) and (
                separated or _ADDRESS.search(sender) is not None
            )
        return dated and addressed and bool(_CLOCK.search(fields["date"]))
    return separated and _ADDRESS.search(sender) is not None


def _is_single_line_block(line: str) -> bool:
    if not 40 <= len(line) <= _MAX_LINE or not _ADDRESS.search(line):
        return False
    found = {_FIELDS.get(_normalise_name(name)) for name in _INLINE_NAME.findall(line)}
    return len(found & {"from", "date", "to", "subject"}) >= 3


def has_sender_address(opening: tuple[HeaderField, str]) -> bool:
    """Return whether an opening field is a sender with an address ("From: Ann
    <ann@example.com>").
    """
    return opening[0] == "from" and _ADDRESS.search(opening[1]) is not None


def is_horizontal_rule(line: str) -> bool:
    """Return whether a stripped line is a drawn rule: three or more dashes, underscores, equals
    signs or asterisks.
    """
    return (
        len(line) >= 3
        and line[0] in _RULE_CHARS
        and _RULE_CHARS.issuperset(line[:200])
        and len(set(line)) <= 2
    )
