"""The log for machines: one JSON object a line, whatever is logged, with the record that is
meant.
"""

from __future__ import annotations

import logging
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log.port import LogRecord
from pipeline.logs import JsonLines, places


def line(message: str, *args: object, **more: Any) -> dict[str, Any]:
    logger = logging.getLogger("test")
    record = logger.makeRecord(
        "test", logging.WARNING, "", 0, message, args, more.get("exc_info"), extra=more.get("extra")
    )
    text = JsonLines().format(record)
    assert "\n" not in text
    found: dict[str, Any] = orjson.loads(text)
    return found


@given(st.text())
def test_any_text_is_one_line(text: str) -> None:
    assert line("%s", text)["message"] == text.encode("utf-8", "replace").decode()


def test_a_record_is_named_from_its_connector_to_its_place() -> None:
    headers = (
        ("ce_id", b"m-1"),
        ("ce_source", b"shop/web"),
        ("ce_locator", b"a.eml:3"),
        ("other", None),
    )
    found = line("refused", extra=places(LogRecord("raw.chat.v1", 2, 17, 0, b"k", b"", headers)))
    assert {
        name: found[name]
        for name in ("event_id", "source", "locator", "topic", "partition", "offset")
    } == {
        "event_id": "m-1",
        "source": "shop/web",
        "locator": "a.eml:3",
        "topic": "raw.chat.v1",
        "partition": 2,
        "offset": 17,
    }
    assert (found["level"], found["logger"]) == ("warning", "test")
    assert found["at"].endswith("+00:00")


def test_an_error_keeps_its_traceback_and_odd_values_their_text() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        found = line(
            "failed", exc_info=(type(error), error, error.__traceback__), extra={"where": object}
        )
    assert "ValueError: broken" in found["error"]
    assert found["where"] == str(object)
