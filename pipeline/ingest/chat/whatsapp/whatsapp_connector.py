"""The `whatsapp-export` connector: exported chats, one event per message.

The files are called `WhatsApp Chat with ….txt` (Android) or `_chat.txt` (iOS).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.identity.contacts import OwnSide
from pipeline.identity.direction import direction_between
from pipeline.ingest.byte_streams import Line, UnreadableUnitError, read_lines, reject_unreadable
from pipeline.ingest.chat.whatsapp.date_order import (
    DateOrderStats,
    infer_date_order,
    most_common_format,
)
from pipeline.ingest.chat.whatsapp.message_body import MessageBody, parse_body, system_line
from pipeline.ingest.chat.whatsapp.sender_names import (
    chat_name,
    clean_name,
    split_sender,
    to_party,
)
from pipeline.ingest.chat.whatsapp.timestamps import (
    Timestamp,
    TimestampFormat,
    may_start_with_timestamp,
    parse_timestamp,
)
from pipeline.ingest.local_times import DateOrder, strip_direction_marks, to_utc
from pipeline.ingest.port import (
    MAX_ITEM_BYTES,
    ConnectorItem,
    IngestOptions,
    InputUnit,
    OptionError,
    ReadEvent,
    Rejection,
)
from pipeline.ingest.text_files import (
    LineBlock,
    check_option_names,
    file_pattern,
    is_blank,
    line_locator,
    matching_units,
    missing_zone_error,
    reject_line,
    source_name,
)
from schemas.dead_letters import RejectCode
from schemas.envelope import Event, stable_id
from schemas.types import Channel, Direction

_EXTRA = {
    "date_order": "dmy, mdy or ymd: the order of the dates, if the file leaves it open",
    "chat": "name of the chat; use the same one for several exports of a chat",
    "renamed": (
        "members who were saved or renamed since an earlier export, as new=earlier; new=earlier,"
        " such as Bo Li=+86 138 0000 0051: their messages stay the same"
    ),
}
# Enough for a timestamp, a name and the beginning of the text, in UTF-8.
_HEAD_BYTES = 1_024
# The survey of a file checks after each so many messages whether the date order is certain.
_SURVEY_STEP = 1_000
# Equal lines of one minute are told apart by counting them; so many different ones are remembered,
# which is hours of a busy group.
_CACHE_SIZE = 65_536


class WhatsAppConnector:
    """Connector for exported WhatsApp chats."""

    def __init__(self) -> None:
        self.name = "whatsapp-export"
        self.version = "1"
        self.append_only = False
        self.summary = (
            "exported WhatsApp chats (.txt or .zip, iPhone and Android, any language): one event"
            " per message"
        )
        self.options = {
            "timezone": (
                "time zone of the phone that exported the chat, such as Asia/Shanghai (required:"
                " exports do not name it)"
            ),
            "own": (
                "the company's names and numbers as the chat shows them: their messages are"
                " outbound, all others inbound"
            ),
            "source": "name of the account in the events; default: whatsapp",
            **_EXTRA,
        }

    def units(self, paths: Sequence[Path]) -> Iterator[InputUnit]:
        """Yield the text files under the paths, also those in zip archives of iPhones."""
        return matching_units(paths, file_pattern("txt"))

    def read(self, unit: InputUnit, options: IngestOptions) -> Iterator[ConnectorItem]:
        """Yield one event per message in the order of the file; `raw` are its lines.

        The file is read twice, first to infer the date order. Raises OptionError without a time
        zone, and if the date order stays open.
        """
        if options.zone is None:
            raise missing_zone_error("WhatsApp's exports")
        check_option_names(options.extra, _EXTRA, self.name)
        date_order = _date_order_option(options)
        _renamed_option(options)
        return reject_unreadable(
            unit, _items(unit, options, date_order, f"{self.name}/{self.version}")
        )


def _date_order_option(options: IngestOptions) -> DateOrder | None:
    text = options.extra.get("date_order")
    if text is None:
        return None
    try:
        return DateOrder(text.strip().casefold())
    except ValueError:
        raise OptionError(f"date_order is {text!r}; it can be dmy, mdy or ymd") from None


def _renamed_option(options: IngestOptions) -> dict[str, str]:
    """Return the earlier name of each new one; raises OptionError for anything but pairs."""
    pairs = [pair for pair in options.extra.get("renamed", "").split(";") if pair.strip()]
    names = [tuple(map(clean_name, pair.split("="))) for pair in pairs]
    if any(len(pair) != 2 or not all(pair) for pair in names):
        raise OptionError(
            f"renamed is {options.extra['renamed'][:200]!r}; write each pair as new=earlier, with ;"
            " between pairs, such as Bo Li=+86 138 0000 0051; Ann=Ann Lee"
        )
    return {pair[0]: pair[1] for pair in names}


def _items(
    unit: InputUnit, options: IngestOptions, date_order: DateOrder | None, connector: str
) -> Iterator[ConnectorItem]:
    survey = _survey(unit, options)
    format_ = most_common_format(survey.counts)
    order = (
        DateOrder.YMD
        if format_ is None
        else date_order or infer_date_order(survey.counts[format_], unit.name)
    )
    yield from _ChatReader(unit, options, format_, order, survey.others, connector).items()


# ---- first pass: format of the timestamps, date order, participants
# --------------------------------------


@dataclass(slots=True)
class _Survey:
    counts: dict[TimestampFormat, DateOrderStats] = field(default_factory=dict)
    # Senders who are not on our own side; at most two, for it only matters whether it is a group.
    others: set[str] = field(default_factory=set)
    timestamps: int = 0

    @property
    def sufficient(self) -> bool:
        """Whether so much has been seen that the rest of a long file would say nothing new."""
        if self.timestamps % _SURVEY_STEP:
            return False
        format_ = most_common_format(self.counts)
        return format_ is not None and self.counts[format_].decided


def _survey(unit: InputUnit, options: IngestOptions) -> _Survey:
    survey = _Survey()
    own_names: set[str] = set()
    try:
        with unit.open() as stream:
            for line in read_lines(stream, _HEAD_BYTES):
                head = _head(line)
                timestamp = parse_timestamp(head)
                if timestamp is None:
                    continue
                survey.counts.setdefault(timestamp.format, DateOrderStats()).add(timestamp)
                survey.timestamps += 1
                if options.own.entries and len(survey.others) < 2:
                    name, text = split_sender(head[timestamp.end :])
                    known = name is None or name in survey.others or name in own_names
                    if name and not known and not _body_of(name, text, timestamp).system:
                        (own_names if _is_own_side(name, options.own) else survey.others).add(name)
                if survey.sufficient:
                    break
    except UnreadableUnitError:
        # The second pass meets the same error, and reports it after the messages before it.
        pass
    return survey


def _head(line: Line) -> str:
    return (
        line.data[:_HEAD_BYTES].decode("utf-8", "replace")
        if may_start_with_timestamp(line.data)
        else ""
    )


def _is_own_side(name: str, own: OwnSide) -> bool:
    phone = to_party(name).get("phone")
    return own.owns_name(name) or (phone is not None and own.owns_phone(phone))


def _body_of(name: str | None, text: str, timestamp: Timestamp) -> MessageBody:
    if name is None:
        return system_line(text)
    return parse_body(text, timestamp.marked, timestamp.format.style == "bracket", name)


# ---- second pass: the messages


@dataclass(slots=True)
class _Message:
    timestamp: Timestamp | None
    line: int
    block: LineBlock = field(default_factory=lambda: LineBlock(MAX_ITEM_BYTES))


class _ChatReader:
    def __init__(
        self,
        unit: InputUnit,
        options: IngestOptions,
        format_: TimestampFormat | None,
        order: DateOrder,
        others: set[str],
        connector: str,
    ) -> None:
        self._unit, self._options, self._format, self._order, self._connector = (
            unit,
            options,
            format_,
            order,
            connector,
        )
        titled: bool
        self._chat, titled = chat_name(unit.name)
        if chat_option := options.extra.get("chat", "").strip():
            self._chat, titled = chat_option, True
        # If neither an option nor WhatsApp names the chat, its first message identifies it: files
        # are moved and renamed.
        self._identity = self._chat if titled else ""
        counterpart = (
            next(iter(others))
            if len(others) == 1
            else self._chat
            if titled and not others
            else None
        )
        self._counterpart = [to_party(counterpart)] if counterpart else []
        self._renamed = _renamed_option(options)
        self._line_counts: OrderedDict[bytes, int] = OrderedDict()
        self._own_names: dict[str, bool] = {}
        self._last: datetime | None = None

    def items(self) -> Iterator[ConnectorItem]:
        message: _Message | None = None
        try:
            with self._unit.open() as stream:
                for line in read_lines(stream, MAX_ITEM_BYTES):
                    timestamp = self._timestamp(line)
                    if message is None or timestamp:
                        yield from self._finish(message)
                        message = _Message(timestamp, line.number)
                    message.block.add(line)
        except UnreadableUnitError:
            yield from self._finish(message)
            raise
        yield from self._finish(message)

    def _timestamp(self, line: Line) -> Timestamp | None:
        timestamp = parse_timestamp(_head(line))
        return (
            timestamp
            if timestamp and timestamp.format == self._format and timestamp.date(self._order)
            else None
        )

    def _finish(self, message: _Message | None) -> Iterator[ConnectorItem]:
        if message is None:
            return
        if message.timestamp is None:
            if refused := self._before_first(message):
                yield refused
            return
        yield message.block.oversize_rejection(self._unit, message.line) or self._item(
            message, message.timestamp
        )

    def _before_first(self, message: _Message) -> Rejection | None:
        raw = message.block.raw
        if is_blank(raw):
            return None
        last = message.line + message.block.lines - 1
        what = (
            "no line starts like a WhatsApp message, such as `[14/08/2023, 09:15:32] Ann: hi` or"
            " `2023/8/14 09:15 - 小王: 你好`"
            if self._format is None
            else f"the lines up to {last} are before the first message"
        )
        return message.block.oversize_rejection(self._unit, message.line) or reject_line(
            self._unit, message.line, raw, RejectCode.UNPARSABLE, what
        )

    def _item(self, message: _Message, timestamp: Timestamp) -> ConnectorItem:
        raw = message.block.raw
        local, zone = timestamp.local(self._order), self._options.zone
        assert local is not None
        assert zone is not None
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            what = (
                f"it is not UTF-8, the encoding of exports: {error.reason} at byte"
                f" {error.start + 1} of the message"
            )
            return reject_line(self._unit, message.line, raw, RejectCode.CHARSET, what)
        moment = to_utc(local, zone, not_before=self._last)
        if moment is None:
            what = f"{local} lies outside the years 1970 to 2199"
            return reject_line(self._unit, message.line, raw, RejectCode.TIME_INVALID, what)
        self._last = moment
        name, content = split_sender(re.sub("\r\n?", "\n", text[timestamp.end :]))
        name = self._renamed.get(name, name) if name else name
        body = _body_of(name, content, timestamp)
        data = self._data(name, body)
        event = Event(
            id=self._id(local, name or "", content),
            source=source_name(self._options, "whatsapp"),
            type=(
                "comm.message.sent"
                if data["direction"] == Direction.OUTBOUND
                else "comm.message.received"
            ),
            time=moment,
            tenant=self._options.tenant,
            locator=line_locator(self._unit, message.line),
            connector=self._connector,
            data=data,
        )
        return ReadEvent(event, raw)

    def _id(self, local: datetime, name: str, content: str) -> str:
        words = strip_direction_marks(content).strip()
        line = stable_id(local.isoformat(), name, words).bytes
        self._identity = self._identity or line.hex()
        ordinal = self._line_counts.pop(line, 0)
        self._line_counts[line] = ordinal + 1
        if len(self._line_counts) > _CACHE_SIZE:
            self._line_counts.popitem(last=False)
        return str(
            stable_id("whatsapp", self._identity, local.isoformat(), name, words, str(ordinal))
        )

    def _owns(self, name: str) -> bool:
        if name not in self._own_names:
            if len(self._own_names) >= _CACHE_SIZE:
                self._own_names.clear()
            self._own_names[name] = _is_own_side(name, self._options.own)
        return self._own_names[name]

    def _data(self, name: str | None, body: MessageBody) -> dict[str, Any]:
        outbound = name is not None and self._owns(name)
        data: dict[str, Any] = {
            "channel": Channel.CHAT.value,
            "provider": "whatsapp",
            "conversation": self._chat,
            "direction": direction_between(outbound, to_own=False).value,
            "from": to_party(name) if name else {},
            "text": body.text,
            "attachments": list(body.attachments),
            **body.notes,
        }
        if body.system:
            # iPhones show the chat as the sender of WhatsApp's own lines; nobody wrote them.
            data |= {
                "kind": "system",
                "direction": Direction.INTERNAL.value,
                "from": {"name": name} if name else {},
            }
        elif outbound:
            data |= {"staff": name, "to": self._counterpart}
        return {key: value for key, value in data.items() if value not in (None, [], {})}
