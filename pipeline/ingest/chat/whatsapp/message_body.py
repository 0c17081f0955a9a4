"""What stands after the sender's name: the text, what was attached, or a line of the platform's
own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pipeline.ingest.chat.whatsapp.platform_phrases import (
    is_call,
    is_call_only,
    is_deleted,
    is_encryption_notice,
    is_file_attached,
    is_placeholder,
    kind_of,
    media_type_of_file,
    media_type_of_kind,
    says_attached,
    says_edited,
)
from pipeline.ingest.local_times import MARKS

# LRM and RLM are what the apps put before words of their own; a person's keyboard does not write
# them.
_OWN_WORDS = "\u200e\u200f"
_MAP = "https://maps.google.com/"

_EDIT_MARKER = re.compile(
    rf"\s*(?P<mark>[{_OWN_WORDS}])?<(?P<words>[^<>:：\n]{{3,80}})>[{_OWN_WORDS}]?\s*$"
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
# `<Media omitted>`: words in angle brackets alone on the first line. One ASCII word, an address or
# markup is a person's own.
_ANDROID_PLACEHOLDER = re.compile(
    rf"[{_OWN_WORDS}]?<(?P<words>[^<>\n@/\\=\d]{{3,80}})>[{_OWN_WORDS}]?(?=\n|$)"
)
_FILE_NAME = re.compile(r"[^\n]+\.\w{1,8}")


@dataclass(frozen=True, slots=True)
class Body:
    """A message's content: `text` None where there is none, `system` where the platform wrote it,
    `notes` for the attributes.
    """

    text: str | None
    attachments: tuple[dict[str, str], ...] = ()
    system: bool = False
    notes: dict[str, Any] = field(default_factory=dict)


def read_body(text: str, marked: bool, ios: bool) -> Body:
    """Return the content of a message.

    `marked`: a direction mark stands before the stamp, as iOS has it before messages with media.
    `ios`: the file has iOS's form, where a mark before the text says that the platform wrote it.
    The wording is only asked where the marks leave it open.
    """
    text = text.strip()
    text, edited = _cut_edit_marker(text)
    body = (
        _attached_file(text)
        or _media(text, marked, ios)
        or _platform(text, ios)
        or Body(_clean(text))
    )
    return (
        Body(body.text, body.attachments, body.system, {**body.notes, "edited": True})
        if edited
        else body
    )


def _clean(text: str) -> str | None:
    """Return the text without the marks at its ends, or None."""
    return text.strip(f"{MARKS} \t\r\n") or None


def _cut_edit_marker(text: str) -> tuple[str, bool]:
    match = _EDIT_MARKER.search(text)
    if match and _clean(text[: match.start()]) and (match["mark"] or says_edited(match["words"])):
        return text[: match.start()], True
    return text, False


# ---- media
# ------------------------------------------------------------------------------------------------------------------


def _attached_file(text: str) -> Body | None:
    match = _IOS_FILE.search(text)
    if match and (match["mark"] or _IOS_NAME.match(match["file"]) or says_attached(match["words"])):
        name = match["file"].strip()
        caption = f"{text[: match.start()].strip()}\n{text[match.end() :].strip()}"
        title = _document_name(caption)
        return _with_attachment(
            _attachment(name), None if title and name.endswith(title) else caption
        )
    match = _ANDROID_FILE.match(text)
    if match and (
        match["mark"] or _ANDROID_NAME.match(match["file"]) or is_file_attached(match["words"])
    ):
        return _with_attachment(_attachment(match["file"].strip()), text[match.end() :])
    return None


def _media(text: str, marked: bool, ios: bool) -> Body | None:
    match = _ANDROID_PLACEHOLDER.match(text)
    if (
        match
        and not match["words"].isspace()
        and (" " in match["words"].strip() or not match["words"].isascii())
    ):
        return _android_media(match["words"].strip(), text[match.end() :])
    if is_placeholder(text):
        return _with_attachment(_left_out(text), None)
    if marked and ios and not is_deleted(text) and not is_call(text) and _MAP not in text:
        return _placeholder_after_mark(text)
    return None


def _android_media(words: str, caption: str) -> Body:
    title = _clean(caption)
    media = media_type_of_file(title) if title and _FILE_NAME.fullmatch(title) else None
    if title and media:
        # A document's own name stands where a picture's caption would.
        return _with_attachment({"placeholder": words, "name": title, "mime": media}, None)
    return _with_attachment({"placeholder": words}, caption)


def _placeholder_after_mark(text: str) -> Body | None:
    """Return the media that the words after the last mark stand for: `caption ‎image omitted`,
    `a.pdf • ‎2 pages ‎document omitted`.
    """
    at = max(text.rfind(mark) for mark in _OWN_WORDS)
    words = _clean(text[at:]) if at >= 0 else None
    if words is None or "\n" in words or text.count("\n\u200e") > 1:
        # A poll: question and options, each on a line of its own.
        return None
    before = text[:at]
    attachment = _left_out(words)
    if title := _document_name(before):
        attachment |= {
            "name": title,
            "mime": media_type_of_file(title) or attachment.get("mime", "application/*"),
        }
        return _with_attachment(attachment, None)
    return _with_attachment(attachment, before)


def _document_name(before: str) -> str | None:
    """Return the name in front of a document's placeholder: `Offer.pdf • ‎2 pages`."""
    title = _clean(before.partition(" • ")[0])
    return title if title and _FILE_NAME.fullmatch(title) else None


def _attachment(name: str) -> dict[str, str]:
    media = media_type_of_file(name)
    return {"name": name, "mime": media} if media else {"name": name}


def _left_out(words: str) -> dict[str, str]:
    words = words.strip(f"{MARKS} ")
    media = media_type_of_kind(kind_of(words))
    return {"placeholder": words, "mime": media} if media else {"placeholder": words}


def _with_attachment(attachment: dict[str, str], caption: str | None) -> Body:
    return Body(_clean(caption) if caption else None, (attachment,))


# ---- the platform's own lines
# -----------------------------------------------------------------------------------------------


def _platform(text: str, ios: bool) -> Body | None:
    if is_deleted(text):
        return Body(None, notes={"deleted": True})
    if is_encryption_notice(text) or is_call_only(text):
        return platform_line(text)
    words = text.lstrip(_OWN_WORDS)
    # A number copied from the address book brings its mark along; a place is what the person sent.
    own = (
        ios
        and words != text
        and not words.startswith("+")
        and not words[:1].isdigit()
        and _MAP not in text
    )
    return platform_line(words) if own and "\n" not in words else None


def platform_line(text: str) -> Body:
    """Return a line that the platform wrote, without the marks between its sentences."""
    return Body(_clean("".join(char for char in text if char not in _OWN_WORDS)), system=True)
