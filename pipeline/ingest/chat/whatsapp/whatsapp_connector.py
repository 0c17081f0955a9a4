"""Reads chats exported from WhatsApp (`WhatsApp Chat with ….txt`, `_chat.txt`): one event per
message.
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
from pipeline.ingest.byte_streams import Line, UnreadableUnitError, read_lines, refuse_unreadable
from pipeline.ingest.chat.whatsapp.date_order import ShapeCount, infer, prevailing
from pipeline.ingest.chat.whatsapp.message_body import Body, platform_line, read_body
from pipeline.ingest.chat.whatsapp.sender_names import chat_of, party_of, split_sender
from pipeline.ingest.chat.whatsapp.timestamps import Shape, Stamp, may_begin, read_stamp
from pipeline.ingest.local_times import DateOrder, instant, without_marks
from pipeline.ingest.port import (
    MAX_ITEM_BYTES,
    Found,
    IngestOptions,
    Item,
    OptionError,
    Refused,
    Unit,
)
from pipeline.ingest.text_files import (
    Block,
    at_line,
    check_known,
    file_pattern,
    is_blank,
    matching,
    refusal,
    source_of,
    zone_missing,
)
from schemas.dead_letters import RejectCode
from schemas.envelope import Event, stable_id
from schemas.types import Channel, Direction

_EXTRA = {
    "date_order": "dmy, mdy or ymd: the order of the dates, where the file does not tell",
    "chat": (
        "name of the chat; give the same for several exports of one chat, whose files have"
        " different names"
    ),
}
# A stamp, a name and the beginning of the text, in UTF-8.
_HEAD_BYTES = 1_024
# After so many messages form and participants are known, and mostly the order of dates; where it is
# not, reading goes on.
_SURVEYED = 1_000
# Equal lines of one minute are told apart by counting them; so many different ones are remembered,
# which is hours of a busy group.
_REMEMBERED = 65_536


class WhatsAppExport:
    """Connector for exported WhatsApp chats."""

    def __init__(self) -> None:
        self.name = "whatsapp-export"
        self.version = "1"
        self.keeps_items = False
        self.summary = (
            "exported WhatsApp chats (.txt or .zip, iPhone and Android, any language): one event"
            " per message"
        )
        self.options = {
            "timezone": (
                "zone of the phone that exported, such as Asia/Shanghai (required: exports name"
                " none)"
            ),
            "own": (
                "own names and numbers as the chat shows them: their messages are outbound, all"
                " others inbound"
            ),
            "source": "name of the account in the events, whatsapp unless given",
            **_EXTRA,
        }

    def units(self, paths: Sequence[Path]) -> Iterator[Unit]:
        """Yield the text files under the paths, those in the archives that iPhones export among
        them.
        """
        return matching(paths, file_pattern("txt"))

    def read(self, unit: Unit, options: IngestOptions) -> Iterator[Item]:
        """Yield one event per message in the order of the file; its raw bytes are the lines it was
        read from.

        The file is read twice, first for the order of its dates. Raises OptionError without a zone,
        and where the order stays open.
        """
        if options.zone is None:
            raise zone_missing("WhatsApp's exports")
        check_known(options.extra, _EXTRA, self.name)
        given = _given_order(options)
        return refuse_unreadable(unit, _items(unit, options, given, f"{self.name}/{self.version}"))


def _given_order(options: IngestOptions) -> DateOrder | None:
    text = options.extra.get("date_order")
    if text is None:
        return None
    try:
        return DateOrder(text.strip().casefold())
    except ValueError:
        raise OptionError(f"date_order is {text!r}; it can be dmy, mdy or ymd") from None


def _items(
    unit: Unit, options: IngestOptions, given: DateOrder | None, connector: str
) -> Iterator[Item]:
    survey = _survey(unit, options)
    shape = prevailing(survey.counts)
    order = DateOrder.YMD if shape is None else given or infer(survey.counts[shape], unit.name)
    yield from _Reader(unit, options, shape, order, survey.others, connector).items()


# ---- first reading: the form of the stamps, the order of the dates, and who takes part
# --------------------------------------


@dataclass(slots=True)
class _Survey:
    counts: dict[Shape, ShapeCount] = field(default_factory=dict)
    # Senders who are not ours, no more than two: whether there is one, or a group, is all that is
    # asked.
    others: set[str] = field(default_factory=set)
    stamps: int = 0

    @property
    def enough(self) -> bool:
        """Whether so much has been seen that the rest of a long file would say nothing new."""
        if self.stamps % _SURVEYED:
            return False
        shape = prevailing(self.counts)
        return shape is not None and self.counts[shape].settled


def _survey(unit: Unit, options: IngestOptions) -> _Survey:
    survey = _Survey()
    ours: set[str] = set()
    try:
        with unit.open() as stream:
            for line in read_lines(stream, _HEAD_BYTES):
                head = _head(line)
                stamp = read_stamp(head)
                if stamp is None:
                    continue
                survey.counts.setdefault(stamp.shape, ShapeCount()).add(stamp)
                survey.stamps += 1
                if options.own.entries and len(survey.others) < 2:
                    name, text = split_sender(head[stamp.end :])
                    known = name is None or name in survey.others or name in ours
                    if name and not known and not _body_of(name, text, stamp).system:
                        (ours if _is_ours(name, options.own) else survey.others).add(name)
                if survey.enough:
                    break
    except UnreadableUnitError:
        # The second reading meets the same fault, and reports it after what came before.
        pass
    return survey


def _head(line: Line) -> str:
    return line.data[:_HEAD_BYTES].decode("utf-8", "replace") if may_begin(line.data) else ""


def _is_ours(name: str, own: OwnSide) -> bool:
    phone = party_of(name).get("phone")
    return own.owns_name(name) or (phone is not None and own.owns_phone(phone))


def _body_of(name: str | None, text: str, stamp: Stamp) -> Body:
    if name is None:
        return platform_line(text)
    return read_body(text, stamp.marked, ios=stamp.shape.style == "bracket")


# ---- second reading: the messages
# -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Message:
    stamp: Stamp | None
    line: int
    block: Block = field(default_factory=lambda: Block(MAX_ITEM_BYTES))


class _Reader:
    def __init__(
        self,
        unit: Unit,
        options: IngestOptions,
        shape: Shape | None,
        order: DateOrder,
        others: set[str],
        connector: str,
    ) -> None:
        self._unit, self._options, self._shape, self._order, self._connector = (
            unit,
            options,
            shape,
            order,
            connector,
        )
        titled: bool
        self._chat, titled = chat_of(unit.name)
        if given := options.extra.get("chat", "").strip():
            self._chat, titled = given, True
        # Where neither the person nor WhatsApp names the chat, its first message tells it from
        # others: a file may be moved and renamed.
        self._identity = self._chat if titled else ""
        counterpart = (
            next(iter(others))
            if len(others) == 1
            else self._chat
            if titled and not others
            else None
        )
        self._counterpart = [party_of(counterpart)] if counterpart else []
        self._seen: OrderedDict[bytes, int] = OrderedDict()
        self._ours: dict[str, bool] = {}
        self._last: datetime | None = None

    def items(self) -> Iterator[Item]:
        message: _Message | None = None
        try:
            with self._unit.open() as stream:
                for line in read_lines(stream, MAX_ITEM_BYTES):
                    stamp = self._stamp(line)
                    if message is None or stamp:
                        yield from self._finish(message)
                        message = _Message(stamp, line.number)
                    message.block.add(line)
        except UnreadableUnitError:
            yield from self._finish(message)
            raise
        yield from self._finish(message)

    def _stamp(self, line: Line) -> Stamp | None:
        stamp = read_stamp(_head(line))
        return stamp if stamp and stamp.shape == self._shape and stamp.date(self._order) else None

    def _finish(self, message: _Message | None) -> Iterator[Item]:
        if message is None:
            return
        if message.stamp is None:
            if refused := self._before_first(message):
                yield refused
            return
        yield message.block.refusal(self._unit, message.line) or self._item(message, message.stamp)

    def _before_first(self, message: _Message) -> Refused | None:
        raw = message.block.raw
        if is_blank(raw):
            return None
        last = message.line + message.block.lines - 1
        what = (
            "no line begins as a WhatsApp message does, such as `[14/08/2023, 09:15:32] Ann: hi` or"
            " `2023/8/14 09:15 - 小王: 你好`"
            if self._shape is None
            else f"the lines up to {last} stand before the first message"
        )
        return message.block.refusal(self._unit, message.line) or refusal(
            self._unit, message.line, raw, RejectCode.UNPARSABLE, what
        )

    def _item(self, message: _Message, stamp: Stamp) -> Item:
        raw = message.block.raw
        local, zone = stamp.local(self._order), self._options.zone
        assert local is not None
        assert zone is not None
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            what = (
                f"it is not UTF-8, as exports are: {error.reason} at byte {error.start + 1} of the"
                " message"
            )
            return refusal(self._unit, message.line, raw, RejectCode.CHARSET, what)
        moment = instant(local, zone, not_before=self._last)
        if moment is None:
            what = f"{local} lies outside the years 1970 to 2199"
            return refusal(self._unit, message.line, raw, RejectCode.TIME_INVALID, what)
        self._last = moment
        name, content = split_sender(re.sub("\r\n?", "\n", text[stamp.end :]))
        body = _body_of(name, content, stamp)
        data = self._data(name, body)
        event = Event(
            id=self._id(local, name or "", content),
            source=source_of(self._options, "whatsapp"),
            type=(
                "comm.message.sent"
                if data["direction"] == Direction.OUTBOUND
                else "comm.message.received"
            ),
            time=moment,
            tenant=self._options.tenant,
            locator=at_line(self._unit, message.line),
            connector=self._connector,
            data=data,
        )
        return Found(event, raw)

    def _id(self, local: datetime, name: str, content: str) -> str:
        words = without_marks(content).strip()
        line = stable_id(local.isoformat(), name, words).bytes
        self._identity = self._identity or line.hex()
        ordinal = self._seen.pop(line, 0)
        self._seen[line] = ordinal + 1
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return str(
            stable_id("whatsapp", self._identity, local.isoformat(), name, words, str(ordinal))
        )

    def _owns(self, name: str) -> bool:
        if name not in self._ours:
            if len(self._ours) >= _REMEMBERED:
                self._ours.clear()
            self._ours[name] = _is_ours(name, self._options.own)
        return self._ours[name]

    def _data(self, name: str | None, body: Body) -> dict[str, Any]:
        ours = name is not None and self._owns(name)
        data: dict[str, Any] = {
            "channel": Channel.CHAT.value,
            "provider": "whatsapp",
            "conversation": self._chat,
            "direction": (Direction.OUTBOUND if ours else Direction.INBOUND).value,
            "from": party_of(name) if name else {},
            "text": body.text,
            "attachments": list(body.attachments),
            **body.notes,
        }
        if body.system:
            # iPhones attribute the platform's lines to the chat: a name, but nobody who wrote.
            data |= {
                "kind": "system",
                "direction": Direction.INTERNAL.value,
                "from": {"name": name} if name else {},
            }
        elif ours:
            data |= {"staff": name, "to": self._counterpart}
        return {key: value for key, value in data.items() if value not in (None, [], {})}
