"""The JSON log: one object a line, with the fields that identify a record."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log.port import LogRecord
from pipeline.logs import JsonFormatter, record_fields


def line(message: str, *args: object, **more: Any) -> dict[str, Any]:
    logger = logging.getLogger("test")
    record = logger.makeRecord(
        "test", logging.WARNING, "", 0, message, args, more.get("exc_info"), extra=more.get("extra")
    )
    text = JsonFormatter().format(record)
    assert "\n" not in text
    fields: dict[str, Any] = orjson.loads(text)
    return fields


@given(st.text())
def test_any_text_is_logged_on_one_line(text: str) -> None:
    assert line("%s", text)["message"] == text.encode("utf-8", "replace").decode()


def test_record_fields_have_event_and_position() -> None:
    headers = (
        ("ce_id", b"m-1"),
        ("ce_source", b"shop/web"),
        ("ce_locator", b"a.eml:3"),
        ("other", None),
    )
    fields = line(
        "refused", extra=record_fields(LogRecord("raw.chat.v1", 2, 17, 0, b"k", b"", headers))
    )
    assert {
        name: fields[name]
        for name in ("event_id", "source", "locator", "topic", "partition", "offset")
    } == {
        "event_id": "m-1",
        "source": "shop/web",
        "locator": "a.eml:3",
        "topic": "raw.chat.v1",
        "partition": 2,
        "offset": 17,
    }
    assert (fields["level"], fields["logger"]) == ("warning", "test")
    assert fields["at"].endswith("+00:00")


def test_errors_have_a_traceback_and_other_values_their_text() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        fields = line(
            "failed", exc_info=(type(error), error, error.__traceback__), extra={"where": object}
        )
    assert "ValueError: broken" in fields["error"]
    assert fields["where"] == str(object)
