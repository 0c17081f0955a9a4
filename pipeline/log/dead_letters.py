"""Dead letters: a rejected input with its original bytes, as a message on the dead-letter topic."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import datetime

from pipeline.log.contract_messages import encode_contract, origin_headers
from pipeline.log.port import LogRecord, Message
from pipeline.outcomes import Reject
from schemas.dead_letters import DeadLetter
from schemas.envelope import DEFAULT_TENANT, stable_id, tenant_problem
from schemas.topics import DEAD_LETTERS

# Enough to understand any error; the whole of the original is in the payload.
_MAX_DETAIL = 2_000


def record_dead_letter(stage: str, record: LogRecord, rejection: Reject, now: datetime) -> Message:
    """Return the dead letter of a log record that a stage rejected, with its key and headers.

    Its id follows from the stage and the record's position: rejected again, it is the same letter.
    """
    letter = DeadLetter(
        dead_letter_id=stable_id(
            "dead letter", stage, record.topic, str(record.partition), str(record.offset)
        ),
        tenant=_tenant(record),
        stage=stage,
        step=rejection.step or "decode",
        reason_code=rejection.code,
        message=storable_text(rejection.detail),
        failed_at=now,
        connector=record.header("ce_connector"),
        locator=record.header("ce_locator"),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=None if record.key is None else b64encode(record.key),
        headers={name: (value or b"").decode("utf-8", "replace") for name, value in record.headers},
        payload=b64encode(record.value),
        payload_sha256=hashlib.sha256(record.value).hexdigest(),
        payload_bytes=len(record.value),
    )
    return encode_contract(
        DEAD_LETTERS.name, str(letter.dead_letter_id), letter, origin_headers(record.headers)
    )


def _tenant(record: LogRecord) -> str:
    """Return the tenant of a record; the default one if it has none, or no name of one.

    The headers of the letter have what it had.
    """
    name = record.header("ce_tenant")
    return name if name and not tenant_problem(name) else DEFAULT_TENANT


def ingest_dead_letter(
    connector: str, raw: bytes, rejection: Reject, locator: str, tenant: str, now: datetime
) -> Message:
    """Return the dead letter of bytes that never became a log record: a connector rejected them.

    Its id follows from the connector, the locator and the bytes: read again, it is the same letter.
    """
    digest = hashlib.sha256(raw).hexdigest()
    letter = DeadLetter(
        dead_letter_id=stable_id("dead letter", "collect", connector, locator, digest),
        tenant=tenant,
        stage="collect",
        step=rejection.step or connector,
        reason_code=rejection.code,
        message=storable_text(rejection.detail),
        failed_at=now,
        connector=connector,
        locator=storable_text(locator),
        payload=b64encode(raw),
        payload_sha256=digest,
        payload_bytes=len(raw),
    )
    return encode_contract(DEAD_LETTERS.name, str(letter.dead_letter_id), letter)


def storable_text(text: str) -> str:
    r"""Return a text that any sink can store: at most 2,000 characters, lone surrogates replaced.

    >>> storable_text("bad byte: \udcff")
    'bad byte: ?'
    """
    return text[:_MAX_DETAIL].encode("utf-8", "replace").decode("utf-8")
