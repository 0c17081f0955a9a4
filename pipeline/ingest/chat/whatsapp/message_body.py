"""Parses what follows the sender's name: text, attachments, or a line of WhatsApp itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pipeline.ingest.chat.whatsapp.group_events import is_chat_event
from pipeline.ingest.chat.whatsapp.platform_phrases import (
    attachment_kind,
    is_attachment_prefix,
    is_attachment_suffix,
    is_call,
    is_call_only,
    is_deleted,
    is_edit_notice,
    is_encryption_notice,
    is_placeholder,
    media_type_of_file,
    media_type_of_kind,
)
from pipeline.ingest.local_times import DIRECTION_MARKS

# Eighty words' characters, angle brackets and two marks.
_MAX_EDIT_MARKER = 84
# The apps put LRM or RLM before their own words; keyboards do not write these characters.
_OWN_WORDS = "\u200e\u200f"
_MAP = "https://maps.google.com/"

# At the end of a text without blanks there.
_EDIT_MARKER = re.compile(
    rf"(?P<mark>[{_OWN_WORDS}])?<(?P<words>[^<>:：\n]{{3,80}})>[{_OWN_WORDS}]?\Z"
)
_IOS_FILE = re.compile(
    rf"(?P<mark>[{_OWN_WORDS}])?<(?P<words>[^<>:：\n]{{2,40}}?)\s?[:：]\s?(?P<file>[^<>\n]+\.\w{{1,8}})>"
)
_IOS_NAME = re.compile(r"\d{8}-")
_ANDROID_FILE = re.compile(
    rf"(?P<mark>[{_OWN_WORDS}])?(?P<file>[^\n{_OWN_WORDS}]+?\.\w{{1,8}})"
    rf" \((?P<words>[^()\n]{{2,60}})\)[{_OWN_WORDS}]?(?=\n|$)"
)
_ANDROID_NAME = re.compile(r"(?:IMG|VID|AUD|PTT|STK|DOC|GIF)-\d{8}-WA\d+")
# `<Media omitted>`: only words in angle brackets on the first line. A single ASCII word, an address
# or markup was written by a person.
_ANDROID_PLACEHOLDER = re.compile(
    rf"[{_OWN_WORDS}]?<(?P<words>[^<>\n@/\\=\d]{{3,80}})>[{_OWN_WORDS}]?(?=\n|$)"
)
_FILE_NAME = re.compile(r"[^\n]+\.\w{1,8}")


@dataclass(frozen=True, slots=True)
class MessageBody:
    """The content of a message.

    `text` is None where there is none, `system` is set for lines of WhatsApp itself, `notes` become
    attributes of the event.
    """

    text: str | None
    attachments: tuple[dict[str, str], ...] = ()
    system: bool = False
    notes: dict[str, Any] = field(default_factory=dict)


def parse_body(text: str, marked: bool, ios: bool, sender: str = "") -> MessageBody:
    """Return the content of a message.

    `marked`: a direction mark is in front of the timestamp, as iOS has it for messages with media.
    `ios`: the file has the iOS format, where WhatsApp writes a mark before its own texts. People
    write such marks too, so that the words decide.

    >>> parse_body("IMG-20260814-WA0001.jpg (file attached)", False, False).attachments
    ({'name': 'IMG-20260814-WA0001.jpg', 'mime': 'image/jpeg'},)
    """
    text = text.strip()
    text, edited = _cut_edit_marker(text)
    body = (
        _attached_file(text)
        or _media(text, marked, ios)
        or _platform(text, ios, sender)
        or MessageBody(_clean(text))
    )
    return (
        MessageBody(body.text, body.attachments, body.system, {**body.notes, "edited": True})
        if edited
        else body
    )


def _clean(text: str) -> str | None:
    """Return the text without direction marks and blanks at its ends, or None."""
    return text.strip(f"{DIRECTION_MARKS} \t\r\n") or None


def _cut_edit_marker(text: str) -> tuple[str, bool]:
    match = _EDIT_MARKER.search(text, max(0, len(text) - _MAX_EDIT_MARKER))
    if match and (match["mark"] or is_edit_notice(match["words"])):
        before = text[: match.start()].rstrip()
        if _clean(before):
            return before, True
    return text, False


# ---- media


def _attached_file(text: str) -> MessageBody | None:
    match = _IOS_FILE.search(text)
    if match and (
        match["mark"] or _IOS_NAME.match(match["file"]) or is_attachment_prefix(match["words"])
    ):
        name = match["file"].strip()
        caption = f"{text[: match.start()].strip()}\n{text[match.end() :].strip()}"
        title = _document_name(caption)
        return _with_attachment(
            _attachment(name), None if title and name.endswith(title) else caption
        )
    match = _ANDROID_FILE.match(text)
    if match and (
        match["mark"] or _ANDROID_NAME.match(match["file"]) or is_attachment_suffix(match["words"])
    ):
        return _with_attachment(_attachment(match["file"].strip()), text[match.end() :])
    return None


def _media(text: str, marked: bool, ios: bool) -> MessageBody | None:
    match = _ANDROID_PLACEHOLDER.match(text)
    if (
        match
        and not match["words"].isspace()
        and (" " in match["words"].strip() or not match["words"].isascii())
    ):
        return _android_media(match["words"].strip(), text[match.end() :])
    if is_placeholder(text):
        return _with_attachment(_omitted_media(text), None)
    if marked and ios and not is_deleted(text) and not is_call(text) and _MAP not in text:
        return _placeholder_after_mark(text)
    return None


def _android_media(words: str, caption: str) -> MessageBody:
    title = _clean(caption)
    media = media_type_of_file(title) if title and _FILE_NAME.fullmatch(title) else None
    if title and media:
        # The name of a document is where a picture has its caption.
        return _with_attachment({"placeholder": words, "name": title, "mime": media}, None)
    return _with_attachment({"placeholder": words}, caption)


def _placeholder_after_mark(text: str) -> MessageBody | None:
    """Return the media that the words after the last mark stand for, or None.

    Examples: `caption ‎image omitted`, `a.pdf • ‎2 pages ‎document omitted`.
    """
    at = max(text.rfind(mark) for mark in _OWN_WORDS)
    words = _clean(text[at:]) if at >= 0 else None
    if words is None or "\n" in words or text.count("\n\u200e") > 1:
        # A poll: question and options, each in its own line.
        return None
    before = text[:at]
    attachment = _omitted_media(words)
    if title := _document_name(before):
        attachment |= {
            "name": title,
            "mime": media_type_of_file(title) or attachment.get("mime", "application/*"),
        }
        return _with_attachment(attachment, None)
    return _with_attachment(attachment, before)


def _document_name(before: str) -> str | None:
    """Return the name before a document's placeholder (`Offer.pdf • ‎2 pages`), or None."""
    title = _clean(before.partition(" • ")[0])
    return title if title and _FILE_NAME.fullmatch(title) else None


def _attachment(name: str) -> dict[str, str]:
    media = media_type_of_file(name)
    return {"name": name, "mime": media} if media else {"name": name}


def _omitted_media(words: str) -> dict[str, str]:
    words = words.strip(f"{DIRECTION_MARKS} ")
    media = media_type_of_kind(attachment_kind(words))
    return {"placeholder": words, "mime": media} if media else {"placeholder": words}


def _with_attachment(attachment: dict[str, str], caption: str | None) -> MessageBody:
    return MessageBody(_clean(caption) if caption else None, (attachment,))


# ---- lines of WhatsApp itself


def _platform(text: str, ios: bool, sender: str) -> MessageBody | None:
    if is_deleted(text):
        return MessageBody(None, notes={"deleted": True})
    if is_encryption_notice(text) or is_call_only(text):
        return system_line(text)
    words = text.lstrip(_OWN_WORDS)
    own_words = ios and words != text and "\n" not in words and _MAP not in text
    return (
        system_line(words)
        if own_words and (is_call(words) or is_chat_event(words, sender))
        else None
    )


def system_line(text: str) -> MessageBody:
    r"""Return the content of a line that WhatsApp wrote, without the marks between sentences.

    >>> system_line("\u200eAnn left").system
    True
    """
    return MessageBody(
        _clean("".join(char for char in text if char not in _OWN_WORDS)), system=True
    )
