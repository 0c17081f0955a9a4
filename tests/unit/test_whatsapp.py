"""WhatsApp's exports in every form that phones write: stamps, names, placeholders, order of dates;
no line is lost.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identity.contacts import OwnSide
from pipeline.ingest.chat.whatsapp import WhatsAppConnector
from pipeline.ingest.chat.whatsapp.message_body import parse_body
from pipeline.ingest.chat.whatsapp.sender_names import chat_name, split_sender, to_party
from pipeline.ingest.chat.whatsapp.timestamps import parse_timestamp
from pipeline.ingest.local_times import DateOrder
from pipeline.ingest.port import (
    MAX_ITEM_BYTES,
    ConnectorItem,
    IngestOptions,
    InputUnit,
    OptionError,
    ReadEvent,
    Rejection,
)
from schemas.communications import MessageData
from schemas.dead_letters import RejectCode

LRM, RLM = "\u200e", "\u200f"
UTC_ZONE = ZoneInfo("UTC")


def read(
    text: str | bytes,
    name: str = "chat.txt",
    zone: ZoneInfo | None = UTC_ZONE,
    own: str = "",
    **extra: str,
) -> list[ConnectorItem]:
    data = text.encode() if isinstance(text, str) else text
    options = IngestOptions(
        zone=zone, own=OwnSide(tuple(filter(None, own.split("|")))), extra=extra
    )
    return list(WhatsAppConnector().read(InputUnit(name, lambda: io.BytesIO(data)), options))


def events(text: str | bytes, **options: Any) -> list[dict[str, Any]]:
    """Every event's data, checked against the contract, with type, id and time."""
    found = []
    for item in read(text, **options):
        assert isinstance(item, ReadEvent), item
        MessageData.model_validate(item.event.data)
        found.append(
            {
                "type": item.event.type,
                "id": item.event.id,
                "time": item.event.time,
                **item.event.data,
            }
        )
    return found


# ---- stamps

AFTERNOON, MORNING = datetime(2023, 8, 14, 21, 15), datetime(2023, 8, 14, 9, 15)


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        ("[14/08/2023, 21:15:00] Ann: hi", AFTERNOON),
        ("2023-08-14 21 h 15 - Léa: salut", AFTERNOON),
        ("[2023-08-14, 21 h 15 min 00 s] Léa: salut", AFTERNOON),
        ("14/8/66 21:15 - ส้ม: สวัสดี", AFTERNOON),
        ("14/8/2566 21:15 น. - ส้ม: สวัสดี", AFTERNOON),
        ("[14/8/พ.ศ. 2566 21:15:00] ส้ม: สวัสดี", AFTERNOON),
        ("[14/8/2566 BE, 9:15:00 PM] Ann: hi", AFTERNOON),
        ("[令和5年8月14日 21:15:00] 王: やあ", AFTERNOON),
        ("R5/8/14 21:15 - 王: やあ", AFTERNOON),
        ("[民國112/8/14 下午9:15:00] 小王: 你好", AFTERNOON),
        ("112/8/14 下午9:15 - 小王: 你好", AFTERNOON),
        ("[14.08.23, 21:15:00] Ann: hi", AFTERNOON),
        ("[14-08-2023 21:15] Ann: hi", AFTERNOON),
        ("[2023-08-14, 9:15:00 PM] Ann: hi", AFTERNOON),
        ("[21:15:00, 14/8/23] Ann: hi", AFTERNOON),
        ("[9:15:00 CH, 14/8/2023] Ann: hi", AFTERNOON),
        ("14/08/2023, 21:15 - Ann: hi", AFTERNOON),
        ("14.08.23, 21:15 – Ann: hi", AFTERNOON),
        ("14/08/2023 21:15 - Ann: hi", AFTERNOON),
        ("14/8/23, 9:15\u202fPM - Ann: hi", AFTERNOON),
        ("14/8/23 9:15 p. m. - Ann: hi", AFTERNOON),
        ("14/8/23 9:15 p.\u00a0m. - Ann: hi", AFTERNOON),
        ("14/8/2023 9:15 μ.μ. - Ann: hi", AFTERNOON),
        ("14.08.2023 ÖS 9:15 - Ann: hi", AFTERNOON),
        ("2023/8/14 下午9:15 - 小王: 你好", AFTERNOON),
        ("2023/8/14 晚上9:15 - 小王: 你好", AFTERNOON),
        ("[2023/8/14 下午9:15:00] 小王: 你好", AFTERNOON),
        ("[2023/8/14 午後9:15:00] 小王: 你好", AFTERNOON),
        ("2023年8月14日 下午9:15 - 小王: 你好", AFTERNOON),
        ("[2023. 8. 14. 오후 9:15:00] 김: 안녕", AFTERNOON),
        ("2023. 8. 14. 오후 9:15 - 김: 안녕", AFTERNOON),
        ("[14.8.2023 klo 21.15.00] Mika: moi", AFTERNOON),
        ("14.8.2023 klo 21.15 - Mika: moi", AFTERNOON),
        ("14/08/2023 à 21:15 - Léa: salut", AFTERNOON),
        ("14.08.2023 г., 21:15 - Иван: здравей", AFTERNOON),
        (f"[14{RLM}/8{RLM}/2023، 21:15:00] سارة: مرحبا", AFTERNOON),
        (f"[١٤{RLM}/٨{RLM}/٢٠٢٣، ٩:١٥:٠٠\u00a0م] سارة: مرحبا", AFTERNOON),
        ("१४/८/२०२३, २१:१५ - राम: नमस्ते", AFTERNOON),
        ("14/8/2566 21:15 - ส้ม: สวัสดี", AFTERNOON),
        (f"{LRM}[14/08/2023, 21:15:00] Ann: {LRM}image omitted", AFTERNOON),
        ("\ufeff14/08/2023, 21:15 - Ann: hi", AFTERNOON),
        ("14/08/23 21:15:00: Ann: hi", AFTERNOON),
        ("14/8/23, 9:15 a.m. - Ann: hi", MORNING),
        ("[١٤/٨/٢٠٢٣، ٩:١٥:٠٠ ص] سارة: مرحبا", MORNING),
        ("2023/8/14 上午9:15 - 小王: 你好", MORNING),
        ("[9:15:00 SA, 14/8/2023] Ann: hi", MORNING),
    ],
)
def test_timestamp_formats(line: str, moment: datetime) -> None:
    stamp = parse_timestamp(line)
    assert stamp is not None
    assert stamp.local(DateOrder.DMY) == moment
    assert ": " in line[stamp.end :]


def test_examples_of_the_guide_are_timestamps() -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "connectors.md").read_text(
        "utf-8"
    )
    example = (
        guide.partition("## whatsapp-export")[2]
        .partition("```\n")[2]
        .partition("```")[0]
        .splitlines()
    )
    assert len(example) == 3
    assert all(parse_timestamp(line) for line in example)


@pytest.mark.parametrize(
    ("clock", "hour", "minute"),
    [
        ("12:08 a.m.", 0, 8),
        ("00:08 a.m.", 0, 8),
        ("12:08 p.m.", 12, 8),
        ("0:08 p.m.", 12, 8),
        ("1:08 p.m.", 13, 8),
        ("13:08 p.m.", 13, 8),
        ("中午12:08", 12, 8),
        ("中午1:08", 13, 8),
        ("凌晨12:08", 0, 8),
    ],
)
def test_midnight_and_noon_on_twelve_hours(clock: str, hour: int, minute: int) -> None:
    stamp = parse_timestamp(f"2023/8/14 {clock} - A: b")
    assert stamp is not None
    assert (stamp.hour, stamp.minute) == (hour, minute)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "12:30 - lunch",
        "1/2: milk",
        "- 3",
        "[see above]",
        "14/08/2023",
        "14/08/2023 at the shop - Ann: hi",
        "14/08/2023, 25:15 - Ann: hi",
        "14/08/2023, 12:75 - Ann: hi",
        "14/08.2023, 12:15 - Ann: hi",
        "2023/8/14 9:15 xx - Ann: hi",
        "9" * 500,
        "[" * 500,
    ],
)
def test_lines_without_timestamp(line: str) -> None:
    assert parse_timestamp(line) is None


# ---- order of dates, zone


def chat(*days: str) -> str:
    return "".join(f"{day}, 10:00 - Ann: {number}\n" for number, day in enumerate(days))


@pytest.mark.parametrize(
    ("days", "first"),
    [
        (("01/02/2023", "13/02/2023"), (2023, 2, 1)),
        (("02/01/2023", "02/13/2023"), (2023, 2, 1)),
        (("01.02.23", "02.02.23"), (2023, 2, 1)),
        (("2023/02/01",), (2023, 2, 1)),
        (("23-02-01", "23-02-02", "23-02-03"), (2023, 2, 1)),
        (("05/05/2023",), (2023, 5, 5)),
        # Only one order runs forward over the turn of months.
        (("01/11/2023", "02/11/2023", "01/12/2023", "02/12/2023", "03/12/2023"), (2023, 11, 1)),
        (("11/01/2023", "11/02/2023", "12/01/2023", "12/02/2023", "12/03/2023"), (2023, 11, 1)),
        # The encryption notice in front bears a later day.
        (("02/12/2023", "01/11/2023", "02/11/2023", "01/12/2023"), (2023, 12, 2)),
    ],
)
def test_date_order_is_inferred_from_the_file(
    days: tuple[str, ...], first: tuple[int, int, int]
) -> None:
    assert events(chat(*days))[0]["time"] == datetime(*first, 10, tzinfo=UTC)


def test_ambiguous_dates_need_an_option() -> None:
    text = chat("01/02/2023", "02/02/2023", "03/02/2023")
    with pytest.raises(OptionError, match="date_order"):
        read(text)
    assert events(text, date_order="dmy")[0]["time"] == datetime(2023, 2, 1, 10, tzinfo=UTC)
    assert events(text, date_order="MDY")[0]["time"] == datetime(2023, 1, 2, 10, tzinfo=UTC)
    with pytest.raises(OptionError, match="dmy, mdy or ymd"):
        read(text, date_order="usual")


def test_a_missing_time_zone_is_an_option_error() -> None:
    with pytest.raises(OptionError, match="--timezone"):
        read(chat("2023/02/01"), zone=None)


def test_timestamps_are_local_and_the_repeated_hour_runs_forward() -> None:
    text = "2026/10/25 02:50 - Ann: first\n2026/10/25 02:10 - Ann: an hour and more later\n"
    times = [event["time"] for event in events(text, zone=ZoneInfo("Europe/Berlin"))]
    assert times == [
        datetime(2026, 10, 25, 0, 50, tzinfo=UTC),
        datetime(2026, 10, 25, 1, 10, tzinfo=UTC),
    ]


# ---- messages


def one(body: str, *, marked: bool = False, ios: bool = True) -> dict[str, Any]:
    """The message of this body in an export of iPhone's or Android's form."""
    stamp = "[14/08/2023, 21:15:00] " if ios else "14/08/2023, 21:15 - "
    (event,) = events(f"{LRM if marked else ''}{stamp}{body}\n")
    return event


def test_a_message_has_its_sender_text_and_chat() -> None:
    (event,) = events(
        "14/08/2023, 21:15 - Ann Lee: hello: there\n\nsecond paragraph\n",
        name="/x/WhatsApp Chat with Ann Lee.txt",
    )
    assert event["type"] == "comm.message.received"
    assert event["text"] == "hello: there\n\nsecond paragraph"
    assert event["from"] == {"name": "Ann Lee", "handle": "Ann Lee"}
    assert event["direction"] == "inbound"
    assert event["conversation"] == "Ann Lee"
    assert event["channel"] == "chat"
    assert "kind" not in event


@pytest.mark.parametrize(
    "line",
    [
        "14/08/2023, 21:15 - Messages and calls are end-to-end encrypted. Tap to learn more.",
        "14/08/2023, 21:15 - Bob added you",
        "14/08/2023, 21:15 - Bob changed the subject from “Plan: A” to “Plan: B”",
        '14/08/2023, 21:15 - Bob created group "Sales: north"',
        "14/08/2023, 21:15 - 小王将群组名称更改为「团购：周五: 晚」",
        "14/08/2023, 21:15 - Bob:.",
        (
            "14/08/2023, 21:15 - The shop: Messages and calls are end-to-end encrypted. No one else"
            " can read them."
        ),
        "14/08/2023, 21:15 - Bob: Missed voice call",
        "14/08/2023, 21:15 - 小王: 未接语音通话",
        f"[14/08/2023, 21:15:00] Bob: {LRM}Messages and calls are end-to-end encrypted.",
        f"[14/08/2023, 21:15:00] 小王: {LRM}消息和通话已进行端到端加密。",
        (
            f"[14/08/2023, 21:15:00] Bob: {LRM}{LRM}Your security code with Bob changed. {LRM}Tap"
            " to learn more."
        ),
        f"[14/08/2023, 21:15:00] Team: {LRM}Bob joined using this group's invite link",
        f"[14/08/2023, 21:15:00] ~ Bob: {LRM}~ Bob liittyi ryhmään",
        f"[14/08/2023, 21:15:00] Bob: {LRM}You changed the group name to “Lamps”",
        f"[14/08/2023, 21:15:00] 小王: {LRM}小王更改了群组名称",
        f"[14/08/2023, 21:15:00] سارة: {RLM}تغيّر رمز الأمان الخاص بك مع سارة",
        f"{LRM}[14/08/2023, 21:15:00] Bob: {LRM}Missed video call. {LRM}Tap to call back",
    ],
)
def test_system_lines_have_no_sender(line: str) -> None:
    (event,) = events(line)
    assert event["kind"] == "system"
    assert event["direction"] == "internal"
    assert "handle" not in event.get("from", {})
    assert LRM not in event["text"]


@pytest.mark.parametrize(
    ("body", "marked", "ios", "mime"),
    [
        (f"{LRM}image omitted", True, True, "image/*"),
        (f"{LRM}图像已忽略", True, True, "image/*"),
        (f"{LRM}Video weggelassen", True, True, "video/*"),
        (f"{LRM}音声は含まれていません", True, True, "audio/*"),
        (f"{LRM}GIF omitido", True, True, "image/gif"),
        (f"{LRM}стикер не добавлен", True, True, "image/webp"),
        (f"{LRM}聯絡人名片已略去", True, True, "text/vcard"),
        (f"{RLM}لم يتم إدراج المستند", True, True, "application/*"),
        (f"{LRM}wording that nobody listed", True, True, None),
        # Marks lost on the way: the wording alone.
        ("image omitted", False, True, "image/*"),
        ("视频已忽略", False, True, "video/*"),
        ("<Media omitted>", False, False, None),
        ("<省略影音内容>", False, False, None),
        ("<Без медиафайлов>", False, False, None),
        ("<Mídia oculta>", False, False, None),
        ("<आम बात नहीं>", False, False, None),
    ],
)
def test_omitted_media_is_an_attachment_without_text(
    body: str, marked: bool, ios: bool, mime: str | None
) -> None:
    event = one(f"Ann: {body}", marked=marked, ios=ios)
    assert "text" not in event
    assert len(event["attachments"]) == 1
    assert event["attachments"][0].get("mime") == mime
    assert event["attachments"][0]["placeholder"] == body.strip(f"{LRM}{RLM}<>")


@pytest.mark.parametrize(
    ("body", "marked", "ios", "name", "mime", "text"),
    [
        (
            f"{LRM}<attached: 00000035-PHOTO-2022-03-27.jpg>",
            True,
            True,
            "00000035-PHOTO-2022-03-27.jpg",
            "image/jpeg",
            None,
        ),
        (
            f"{LRM}<附件：00000035-PHOTO-2022-03-27.jpg>",
            True,
            True,
            "00000035-PHOTO-2022-03-27.jpg",
            "image/jpeg",
            None,
        ),
        (
            f"look {LRM}<Anhang: 00000036-VIDEO.mp4>",
            True,
            True,
            "00000036-VIDEO.mp4",
            "video/mp4",
            "look",
        ),
        (
            f"a.pdf • {LRM}2 pages {LRM}<attached: 00000047-a.pdf>",
            True,
            True,
            "00000047-a.pdf",
            "application/pdf",
            None,
        ),
        (
            f"Offer.pdf • {LRM}2 页 {LRM}文档已忽略",
            True,
            True,
            "Offer.pdf",
            "application/pdf",
            None,
        ),
        (f"Some file.txt {LRM}document omitted", True, True, "Some file.txt", "text/plain", None),
        (
            "IMG-20220323-WA0002.jpg (file attached)",
            False,
            False,
            "IMG-20220323-WA0002.jpg",
            "image/jpeg",
            None,
        ),
        (
            "IMG-20220323-WA0002.jpg (unlisted words)\nTitle",
            False,
            False,
            "IMG-20220323-WA0002.jpg",
            "image/jpeg",
            "Title",
        ),
        (f"{LRM}Alex.vcf (unlisted words)", False, False, "Alex.vcf", "text/vcard", None),
        ("Alex.vcf (文件附件)", False, False, "Alex.vcf", "text/vcard", None),
        ("<Media omitted>\nOffer.pdf", False, False, "Offer.pdf", "application/pdf", None),
    ],
)
def test_attached_files_keep_their_names_and_captions(
    body: str, marked: bool, ios: bool, name: str, mime: str, text: str | None
) -> None:
    event = one(f"Ann: {body}", marked=marked, ios=ios)
    assert event["attachments"][0]["name"] == name
    assert event["attachments"][0]["mime"] == mime
    assert event.get("text") == text


@pytest.mark.parametrize(
    ("body", "ios"),
    [
        ("<hello>", False),
        ("<https://example.com/a b>", False),
        ("<b>bold words</b>", False),
        ("<ann@example.com>", False),
        ("see report.pdf (page 3)", False),
        ("report.pdf (please join the call)", False),
        ("I omitted the image", True),
        (f"{LRM}+86 138 0000 0001", True),
        (f"{LRM}Location: https://maps.google.com/?q=1,2", True),
        ("null", False),
    ],
)
def test_text_by_people_stays_text(body: str, ios: bool) -> None:
    event = one(f"Ann: {body}", ios=ios)
    assert event["text"] == body.strip(LRM)
    assert "attachments" not in event
    assert "kind" not in event


def test_a_caption_below_the_placeholder_is_the_text() -> None:
    event = one("Ann: <Media omitted>\nour new shop\nin Shanghai", ios=False)
    assert event["text"] == "our new shop\nin Shanghai"
    assert event["attachments"] == [{"placeholder": "Media omitted"}]


def test_a_poll_is_text() -> None:
    event = one(
        f"Ann: {LRM}POLL:\nWhen?\n{LRM}OPTION: Mon ({LRM}1 vote)\n{LRM}OPTION: Tue ({LRM}0 votes)",
        marked=True,
    )
    assert "When?" in event["text"]
    assert "attachments" not in event


@pytest.mark.parametrize(
    ("body", "ios"),
    [
        ("This message was deleted", False),
        ("You deleted this message", False),
        ("此消息已删除。", False),
        ("您已刪除此訊息", False),
        ("Данное сообщение удалено", False),
        (f"{LRM}This message was deleted.", True),
        (f"{LRM}Se eliminó este mensaje.", True),
        (f"{RLM}تم حذف هذه الرسالة.", True),
    ],
)
def test_deleted_messages_have_no_text(body: str, ios: bool) -> None:
    event = one(f"Ann: {body}", ios=ios)
    assert event["deleted"] is True
    assert "text" not in event


@pytest.mark.parametrize(
    ("body", "ios"),
    [
        (f"see you at six {LRM}<This message was edited>", True),
        (f"see you at six {LRM}<words that nobody listed>", True),
        ("see you at six <This message was edited>", False),
        ("see you at six <这条消息已经过编辑>", False),
    ],
)
def test_edited_messages_keep_their_text_without_the_marker(body: str, ios: bool) -> None:
    event = one(f"Ann: {body}", ios=ios)
    assert event["text"] == "see you at six"
    assert event["edited"] is True


# ---- who


@pytest.mark.parametrize(
    ("name", "party"),
    [
        ("+86 138 0000 0001", {"phone": "+86 138 0000 0001"}),
        ("+1 (555) 010-9999", {"phone": "+1 (555) 010-9999"}),
        ("Ann 2", {"name": "Ann 2", "handle": "Ann 2"}),
        ("12345", {"name": "12345", "handle": "12345"}),
        ("王小姐", {"name": "王小姐", "handle": "王小姐"}),
    ],
)
def test_a_name_that_is_a_number_is_a_phone_number(name: str, party: dict[str, str]) -> None:
    assert to_party(name) == party


def test_marks_and_tildes_around_names_are_removed() -> None:
    assert (
        split_sender("\u202a+40\u00a0521\u00a0028\u00a061\u00a088\u202c: hi")[0]
        == "+40 521 028 61 88"
    )
    assert split_sender("~\u202fAnn: hi")[0] == "Ann"
    assert split_sender("Ann:\nsecond line") == ("Ann", "\nsecond line")


def test_messages_of_own_names_are_outbound_to_the_other_participant() -> None:
    text = (
        "2023/8/14 09:15 - 客服小周: 您好\n2023/8/14 09:16 - 王小姐: 在吗\n2023/8/14 09:17 - +86"
        " 138 0000 0090: 在的\n"
    )
    sent, received, third = events(text, own="客服小周|+8613800000090")
    assert [sent["type"], received["type"], third["type"]] == [
        "comm.message.sent",
        "comm.message.received",
        "comm.message.sent",
    ]
    assert sent["staff"] == "客服小周"
    assert sent["to"] == [{"name": "王小姐", "handle": "王小姐"}]
    assert third["from"] == {"phone": "+86 138 0000 0090"}
    assert "to" not in received


def test_outbound_messages_in_a_group_have_no_recipient() -> None:
    text = "".join(
        f"2023/8/14 09:1{n} - {name}: hi\n" for n, name in enumerate(["Us", "Ann", "Bob"])
    )
    assert "to" not in events(text, own="Us")[0]


def test_the_file_name_is_the_recipient_of_an_unanswered_chat() -> None:
    text = "2023/8/14 09:15 - Us: hi\n"
    assert events(text, own="Us", name="WhatsApp Chat with +86 138 0000 0001.txt")[0]["to"] == [
        {"phone": "+86 138 0000 0001"}
    ]
    assert "to" not in events(text, own="Us", name="export.txt")[0]


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ("/a/WhatsApp Chat with Ann Lee.txt", "Ann Lee"),
        ("/a/WhatsApp Chat with Ann Lee (1).txt", "Ann Lee"),
        ("/a/WhatsApp Chat - Ann Lee.zip!_chat.txt", "Ann Lee"),
        ("/a/WhatsApp Chat - Ann Lee.zip!WhatsApp Chat - Ann Lee/_chat.txt", "Ann Lee"),
        ("/a/WhatsApp Chat - Ann Lee/_chat.txt", "Ann Lee"),
        ("/a/WhatsApp_Chat_with_Ann.txt", "Ann"),
        ("/a/WhatsApp Chat with Ann.txt.gz", "Ann"),
        ("/a/WhatsApp Chat with Ann.txt#12", "Ann"),
        ("/a/与小王的WhatsApp聊天.txt", "小王"),
        ("/a/与+224 623 21 70 09的 WhatsApp 聊天.txt", "+224 623 21 70 09"),
        ("/a/與小王的 WhatsApp 對話.txt", "小王"),
        ("/a/Chat de WhatsApp con Ana.txt", "Ana"),
        ("/a/Conversa do WhatsApp com Ana.txt", "Ana"),
        ("/a/WhatsApp Chat mit Uwe.txt", "Uwe"),
        ("/a/Discussion WhatsApp avec Léa.txt", "Léa"),
        ("/a/Чат WhatsApp с контактом Иван.txt", "Иван"),
    ],
)
def test_the_chat_is_named_by_the_file(unit: str, name: str) -> None:
    assert chat_name(unit) == (name, True)


def test_the_chat_is_named_by_the_stem_of_any_other_file() -> None:
    assert chat_name("/a/b/sales.txt") == ("sales", False)
    assert chat_name("/c/sales.txt") == ("sales", False)


# ---- ids


def test_equal_lines_of_a_minute_are_different_messages_with_stable_ids() -> None:
    text = "2023/8/14 09:15 - Ann: ok\n" * 3
    first = [event["id"] for event in events(text)]
    assert len(set(first)) == 3
    assert [event["id"] for event in events(text, name="/elsewhere/chat.txt")] == first


def test_a_saved_contact_keeps_its_messages_if_it_is_named() -> None:
    text = "2023/8/14 09:15 - {}: ok\n2023/8/14 09:16 - Ann: fine\n"
    before = events(text.format("+86 138 0000 0051"), chat="Team")
    after = events(text.format("Bo Li"), chat="Team", renamed="Bo Li = +86 138 0000 0051")
    assert after == before
    assert after != events(text.format("Bo Li"), chat="Team")


@pytest.mark.parametrize("renamed", ["Bo Li", "Bo Li=", "a=b=c"])
def test_pairs_of_names_that_are_none_are_an_option_error(renamed: str) -> None:
    with pytest.raises(OptionError, match="new=earlier"):
        events("2023/8/14 09:15 - Ann: ok\n", renamed=renamed)


@pytest.mark.parametrize("mark", [LRM, RLM, "\u202b", "\u2067"])
@pytest.mark.parametrize(
    "text", ["مرحبا، متى تصل الطلبية؟", "שלום, מתי זה מגיע", "+86 138 0000 0001", "I left it there"]
)
def test_an_invisible_mark_makes_no_line_of_the_platform(mark: str, text: str) -> None:
    (event,) = events(f"[14/08/2023, 21:15:00] سارة: {mark}{text}")
    assert (event.get("kind"), event["direction"], event["text"]) == (None, "inbound", text)


def test_overlapping_exports_of_a_chat_have_the_same_ids() -> None:
    lines = [f"2023/8/14 09:{n:02} - Ann: {n % 3}\n" for n in range(30)]
    early = {event["id"] for event in events("".join(lines[:20]), chat="Ann", name="one.txt")}
    late = {event["id"] for event in events("".join(lines[10:]), chat="Ann", name="two.txt")}
    assert len(early & late) == 10
    assert len(early | late) == 30


def test_equal_messages_of_two_chats_have_different_ids() -> None:
    text = "2023/8/14 09:15 - Messages are encrypted\n"
    assert events(text, chat="Ann")[0]["id"] != events(text, chat="Bob")[0]["id"]


# ---- faults


def test_text_before_the_first_message_is_rejected() -> None:
    items = read("a note\nof mine\n2023/8/14 09:15 - Ann: hi\n")
    assert isinstance(items[0], Rejection)
    assert items[0].code is RejectCode.UNPARSABLE
    assert "line 1" in items[0].detail
    assert "up to 2" in items[0].detail
    assert isinstance(items[1], ReadEvent)


def test_a_file_that_is_not_a_chat_is_rejected_once() -> None:
    (item,) = read("name,price\n1,2\n")
    assert isinstance(item, Rejection)
    assert "no line starts like a WhatsApp message" in item.detail
    assert item.raw == b"name,price\n1,2\n"
    assert read("") == read("\ufeff \n\n") == []


def test_invalid_utf8_rejects_only_its_message() -> None:
    items = read(b"2023/8/14 09:15 - Ann: \xff\xfe\nmore\n2023/8/14 09:16 - Ann: hi\n")
    assert isinstance(items[0], Rejection)
    assert items[0].code is RejectCode.CHARSET
    assert items[0].raw.endswith(b"more\n")
    assert isinstance(items[1], ReadEvent)


def test_a_time_outside_the_supported_range_is_rejected() -> None:
    items = read("2300/8/14 09:15 - Ann: hi\n")
    assert isinstance(items[0], Rejection)
    assert items[0].code is RejectCode.TIME_INVALID


def test_an_oversize_message_is_rejected_and_the_next_one_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.ingest.chat.whatsapp.whatsapp_connector.MAX_ITEM_BYTES", 200)
    text = (
        "2023/8/14 09:15 - Ann: "
        + "line\n" * 100
        + "2023/8/14 09:16 - Ann: "
        + "x" * 300
        + "\n2023/8/14 09:17 - Ann: ok\n"
    )
    items = read(text)
    assert [type(item) for item in items] == [Rejection, Rejection, ReadEvent]
    assert all(item.code is RejectCode.OVERSIZE for item in items if isinstance(item, Rejection))
    assert MAX_ITEM_BYTES > 200


def test_messages_pasted_into_a_message_stay_in_it() -> None:
    text = (
        "[14/08/2023, 21:15:00] Ann: look:\n[21:10, 13/8/2023] Bob: hi\n14/08/2023, 21:10 - Bob:"
        " ho\n[14/08/2023, 21:16:00] Ann: well?\n"
    )
    assert len(events(text)) == 2
    assert "Bob: ho" in events(text)[0]["text"]


def test_chats_are_found_in_folders_and_archives(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "WhatsApp Chat with Ann.txt").write_text(
        "2023/8/14 09:15 - Ann: hi\n", "utf-8"
    )
    (tmp_path / "one" / "photo.jpg").write_bytes(b"\xff\xd8")
    with zipfile.ZipFile(tmp_path / "WhatsApp Chat - Bob.zip", "w") as archive:
        archive.writestr("_chat.txt", "[2023/8/14 09:15:00] Bob: hi\r\n")
        archive.writestr("00000001-PHOTO.jpg", b"\xff\xd8")
    reader = WhatsAppConnector()
    chats = Counter(
        item.event.data["conversation"]
        for unit in reader.units([tmp_path])
        for item in reader.read(unit, IngestOptions(zone=UTC_ZONE))
        if isinstance(item, ReadEvent)
    )
    assert chats == {"Ann": 1, "Bob": 1}


# ---- laws

NAMES = st.sampled_from(["Ann", "王小姐", "+86 138 0000 0001", "Bob B."])
TEXTS = st.text(
    st.characters(exclude_characters=f"\r\n{LRM}{RLM}\ufeff<", exclude_categories=["Cs"]),
    min_size=1,
    max_size=30,
).filter(
    lambda text: (
        bool(text.strip())
        and parse_timestamp(text) is None
        and parse_body(text, False, False).text is not None
    )
)
MESSAGES = st.lists(
    st.tuples(NAMES, st.lists(TEXTS, min_size=1, max_size=3)), min_size=1, max_size=12
)
FORMS = {
    "ios": "[%d/%m/%Y, %H:%M:%S] ",
    "android": "%d.%m.%y, %H:%M - ",
    "chinese": "%Y/%m/%d %H:%M - ",
    "american": "%m/%d/%Y, %I:%M %p - ",
}


@given(MESSAGES, st.sampled_from(list(FORMS.values())))
def test_a_written_chat_is_read_back(messages: list[tuple[str, list[str]]], form: str) -> None:
    begin = datetime(2023, 8, 25, 10)
    stamps = [begin + timedelta(days=number) for number in range(len(messages))]
    text = "".join(
        f"{stamp.strftime(form)}{name}: " + "\n".join(lines) + "\n"
        for stamp, (name, lines) in zip(stamps, messages, strict=True)
    )
    found = events(text)
    assert [event["time"] for event in found] == [stamp.replace(tzinfo=UTC) for stamp in stamps]
    assert [event["from"].get("phone") or event["from"]["name"] for event in found] == [
        name for name, _ in messages
    ]
    assert [event["text"].split() for event in found] == [
        "\n".join(lines).split() for _, lines in messages
    ]


PIECES = st.lists(
    st.sampled_from(
        [
            "2023/8/14 09:15 - ",
            "[14/08/23, 21:15:00] ",
            f"{LRM}",
            "Ann: ",
            "text",
            "\n",
            "\r\n",
            "<Media omitted>",
            "\xff",
            "1/2/23, 9:15 PM - ",
        ]
    ),
    max_size=30,
)


@given(
    st.binary(max_size=300) | PIECES.map(lambda parts: "".join(parts).encode("latin-1", "replace"))
)
def test_any_lines_are_read_or_rejected_without_loss(data: bytes) -> None:
    try:
        items = read(data)
    except OptionError:
        items = read(data, date_order="dmy")
    assert (
        b"".join(item.raw for item in items) == data
        or not data.strip(b"\xef\xbb\xbf \t\r\n")
        or (
            # Blank lines in front of the first message are nobody's.
            data.endswith(b"".join(item.raw for item in items))
        )
    )


# ---- real files


@pytest.mark.data
def test_real_exports_of_all_languages_are_read_whole(shared_data: Path) -> None:
    reader = WhatsAppConnector()
    units = list(
        reader.units(
            [
                shared_data / "chat" / folder
                for folder in ("whatsapp_locales", "whatstk", "chat_miner/whatsapp")
            ]
        )
    )
    assert len(units) == 32
    for unit in units:
        items = list(reader.read(unit, IngestOptions(zone=UTC_ZONE)))
        assert all(isinstance(item, ReadEvent) for item in items), unit.name
        with unit.open() as stream:
            assert b"".join(item.raw for item in items) == stream.read(), unit.name
        assert len({item.event.id for item in items if isinstance(item, ReadEvent)}) == len(items)


@pytest.mark.data
def test_the_same_chat_on_phones_of_all_languages_reads_the_same(shared_data: Path) -> None:
    reader = WhatsAppConnector()
    folder = shared_data / "chat" / "whatsapp_locales"
    kinds = set()
    for path in sorted(folder.glob("*_ios.txt")):
        found = [
            item.event.data
            for unit in reader.units([path])
            for item in reader.read(unit, IngestOptions(zone=UTC_ZONE))
            if isinstance(item, ReadEvent)
        ]
        kinds.add(
            tuple(
                (
                    data.get("kind", "message"),
                    bool(data.get("deleted")),
                    *(part.get("mime", "?") for part in data.get("attachments", [])),
                )
                for data in found
            )
        )
    assert len(kinds) == 1


@pytest.mark.data
def test_overlapping_real_exports_have_common_ids(shared_data: Path) -> None:
    folder = shared_data / "chat" / "whatstk"
    one, two = (
        {
            event["id"]
            for event in events((folder / f"lorem-merge-part{n}.txt").read_bytes(), chat="lorem")
        }
        for n in (1, 2)
    )
    lines = [
        set((folder / f"lorem-merge-part{n}.txt").read_text("utf-8").splitlines()) for n in (1, 2)
    ]
    assert len(one & two) == len(lines[0] & lines[1])
