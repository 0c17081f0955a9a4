"""What reads the texts of chats, calls, tables and conversations: targets for hostile texts."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from datetime import UTC
from zoneinfo import ZoneInfo

import orjson

from pipeline.ingest.business.amounts import read_amount
from pipeline.ingest.business.cell_times import is_clock, read_time
from pipeline.ingest.business.cell_values import (
    CellError,
    CellFormat,
    clean_cell,
    normalise_word,
    read_birth_year,
    read_identifier,
    read_items,
    read_list,
    read_number,
    read_rating,
)
from pipeline.ingest.business.currencies import read_currency
from pipeline.ingest.call.asterisk.call_legs import channel_peer
from pipeline.ingest.chat.whatsapp.message_body import parse_body
from pipeline.ingest.chat.whatsapp.sender_names import chat_name, split_sender, to_party
from pipeline.ingest.chat.whatsapp.timestamps import parse_timestamp
from pipeline.ingest.json_values import split_json_values
from pipeline.ingest.local_times import DateOrder
from pipeline.ingest.port import InputUnit, OptionError
from pipeline.ingest.registry import CONNECTORS
from pipeline.processors.converse.business_hours import default_hours, parse_hours
from pipeline.processors.converse.due_dates import due_time
from pipeline.processors.converse.followups import promises_in, requests_in
from pipeline.processors.converse.roles import assignee, closing_reason, role_of
from pipeline.processors.converse.sentences import normalize, original_sentences, sentences
from pipeline.processors.converse.similarity import fingerprints, words_of
from pipeline.text.nfkc import nfkc
from tests.support.conversing import FOLD, START, fold_batch, message
from tests.support.seeds import OPTIONS, SEEDS

Target = Callable[[str], object]

_HOURS = default_hours(ZoneInfo("Asia/Shanghai"))
_CELLS = CellFormat(UTC, DateOrder.DMY, "CNY")
_PIECE = 65_536


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _read(connector: str, data: bytes) -> None:
    unit = InputUnit("/exports/_chat.txt", lambda: io.BytesIO(data))
    try:
        for _ in CONNECTORS[connector].read(unit, OPTIONS):
            pass
    except OptionError:
        return


def _after(connector: str) -> Target:
    """Return a target that reads a text after a valid file."""
    return lambda text: _read(connector, SEEDS[connector][0] + _bytes(text))


def _cell(connector: str, column: str) -> Target:
    """Return a target that reads a text in a quoted cell of a valid row."""
    columns, cells, *_ = csv.reader(io.StringIO(SEEDS[connector][0].decode("utf-8-sig")))
    index = columns.index(column)

    def read(text: str) -> None:
        table = io.StringIO()
        csv.writer(table).writerows([columns, [*cells[:index], text, *cells[index + 1 :]]])
        _read(connector, _bytes(table.getvalue()))

    return read


def _header(text: str) -> None:
    header, row, *_ = SEEDS["orders"][0].decode("utf-8-sig").splitlines()
    _read("orders", _bytes(f"{header},{text}\n{row},{text}\n"))


def _allowed(read: Callable[[str, CellFormat], object]) -> Target:
    """Return a target that reads a cell, and may reject it."""

    def target(text: str) -> None:
        try:
            read(text, _CELLS)
        except CellError:
            return

    return target


def _call(text: str, template: str) -> None:
    line = text.replace('"', '""').replace("\n", " ").replace("\r", " ")
    row = template.format(line)
    _read("asterisk-cdr", _bytes(row * 2))


_CALL_ROW = (
    '"","138","801","in","{0}","SIP/t-1","SIP/801-2","Dial","x","2026-11-02 09:00:00",'
    '"2026-11-02 09:00:05","2026-11-02 09:01:00",60,55,"ANSWERED","DOCUMENTATION","1.1",""\n'
)
_CALL_CHANNEL = (
    '"","138","801","in","x","{0}","Local/{0}","Dial","x","2026-11-02 09:00:00",'
    '"2026-11-02 09:00:05","2026-11-02 09:01:00",60,55,"ANSWERED","DOCUMENTATION","1.1",""\n'
)


def _json(text: str) -> None:
    data = _bytes(text)
    for _ in split_json_values((data[at : at + _PIECE] for at in range(0, len(data), _PIECE)), 99):
        pass


def _event(text: str) -> None:
    whole = text.encode("utf-8", "replace").decode()
    fields = orjson.loads(SEEDS["events"][0].splitlines()[0])
    fields["data"] |= {"text": whole, whole[:1000]: [whole], "from": {"name": whole}}
    _read("events", orjson.dumps(fields) + b"\n")


def _hours_line(text: str) -> None:
    try:
        parse_hours((text,), ZoneInfo("UTC"))
    except ValueError:
        return


def _platform_line(text: str) -> None:
    record = message("a", 0, text, say="system")
    assignee(record)
    closing_reason(record)
    role_of(message("a", 0, "x", say="out", staff=text), False, ())


def _fold(text: str) -> None:
    written = text.encode("utf-8", "replace").decode()
    says = ("in", "out", "system")
    batch = [
        message(say, 0, written, say=say, subject=written, result=written, staff=written)
        for say in says
    ]
    fold_batch(FOLD.empty(), batch)


SOURCES: Mapping[str, Target] = {
    "nfkc": nfkc,
    "chat": _after("whatsapp-export"),
    "chat message": lambda text: _read(
        "whatsapp-export",
        SEEDS["whatsapp-export"][0] + b"[02/11/2026, 09:14:00] Ann: " + _bytes(text),
    ),
    "parse_body": lambda text: [
        parse_body(text, *marks) for marks in ((True, True), (False, False))
    ],
    "parse_timestamp": parse_timestamp,
    "split_sender": split_sender,
    "to_party": to_party,
    "chat_name": chat_name,
    "call records": _after("asterisk-cdr"),
    "caller's name": lambda text: _call(text, _CALL_ROW),
    "channel of a call": lambda text: _call(text, _CALL_CHANNEL),
    "channel_peer": channel_peer,
    "orders": _after("orders"),
    "customers": _after("customers"),
    "header of a table": _header,
    "items of an order": _cell("orders", "items"),
    "name of a customer": _cell("orders", "customer_name"),
    "phone of a customer": _cell("customers", "customer_phone"),
    "text of a complaint": _cell("complaints", "投诉内容"),
    "text of feedback": _cell("feedback", "text"),
    "clean_cell": clean_cell,
    "normalise_word": normalise_word,
    "is_clock": is_clock,
    **{
        read.__name__: _allowed(read)
        for read in (
            *(read_birth_year, read_currency, read_identifier, read_items, read_list),
            *(read_amount, read_number, read_rating, read_time),
        )
    },
    "events": _after("events"),
    "texts of an event": _event,
    "split_json_values": _json,
    "line of business hours": _hours_line,
    "normalize": normalize,
    "sentences": lambda text: list(sentences(normalize(text))),
    "original_sentences": lambda text: list(original_sentences(text)),
    "due_time": lambda text: due_time(normalize(text), START, _HOURS),
    "promises_in": lambda text: promises_in(text, START, _HOURS),
    "requests_in": lambda text: requests_in(text, START, _HOURS),
    "fingerprints": lambda text: fingerprints(words_of(text)),
    "line of a platform": _platform_line,
    "fold of converse": _fold,
}
"""By name, like `hostile_targets.TARGETS`, which has them too."""
