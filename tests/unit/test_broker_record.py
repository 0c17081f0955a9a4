"""What a consumer of Kafka returns becomes a record, even if the client cannot read its headers."""

from typing import Any

import pytest

from pipeline.runtime.kafka.broker import log_record


class _Message:
    """A message as the client returns it; its headers raise `error`."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        values = {"topic": "t", "partition": 3, "offset": 5, "key": None, "value": None}
        return lambda: values[name]

    def timestamp(self) -> tuple[int, int]:
        return 1, 7

    def headers(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "planted"), SystemError("planted")]
)
def test_headers_that_the_client_cannot_decode_are_left_out(error: Exception) -> None:
    record = log_record(_Message(error))  # type: ignore[arg-type]
    assert (record.topic, record.partition, record.offset) == ("t", 3, 5)
    assert (record.key, record.value, list(record.headers)) == (None, b"", [])
