"""Dead letters of records that name no valid tenant belong to the default one."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from pipeline.envelope import decode_event
from pipeline.log.dead_letters import record_dead_letter
from pipeline.log.port import LogRecord
from pipeline.outcomes import Reject
from schemas.dead_letters import RejectCode


@pytest.mark.parametrize(
    ("name", "tenant"), [("shop-2", "shop-2"), ("", "default"), ("'; DROP TABLE x", "default")]
)
def test_a_dead_letter_has_a_declared_tenant(name: str, tenant: str) -> None:
    headers = [("ce_tenant", name.encode())]
    record = LogRecord("raw.chat.v1", 0, 7, 0, None, b"{}", headers)
    rejection = Reject(RejectCode.UNPARSABLE, "x")
    now = datetime(2026, 12, 1, tzinfo=UTC)
    letter = json.loads(record_dead_letter("enrich", record, rejection, now).value)
    assert letter["tenant"] == tenant
    assert letter["headers"] == {"ce_tenant": name}


def test_an_event_on_the_log_is_refused_by_its_tenant() -> None:
    attributes = {"id": "1", "source": "s", "type": "comm.message.received", "tenant": "a b"}
    record = LogRecord(
        "raw.chat.v1",
        0,
        0,
        0,
        None,
        b'{"channel": "chat", "text": "hi"}',
        [(f"ce_{name}", value.encode()) for name, value in attributes.items()],
    )
    rejection = decode_event(record)
    assert isinstance(rejection, Reject)
    assert rejection.code is RejectCode.SCHEMA_VALUE
    assert rejection.detail.startswith("tenant: is no name of a tenant")
