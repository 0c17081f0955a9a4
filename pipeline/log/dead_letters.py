"""Dead letters: a rejected input with its original bytes, as a message on the dead-letter topic."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from contextlib import suppress
from datetime import datetime

import orjson

from pipeline.log.contract_messages import encode_contract, origin_headers
from pipeline.log.port import Headers, LogRecord, Message
from pipeline.outcomes import Reject
from schemas.dead_letters import DeadLetter
from schemas.envelope import DEFAULT_TENANT, stable_id, tenant_problem
from schemas.topics import DEAD_LETTERS

# Enough to understand any error; the whole of the original is in the payload.
_MAX_DETAIL = 2_000
# The header of a dead letter with all headers of its record: JSON pairs of name and base64, in
# base64. It is there only if texts by name cannot represent them.
_ALL_HEADERS = "sb_headers"


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
        headers=_letter_headers(record.headers),
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


def _letter_headers(headers: Headers) -> dict[str, str]:
    """Return the headers of a record as a dead letter stores them: names once, values as text.

    The first value of a name counts, as everywhere. Headers that are not such texts are kept whole
    in one more header.
    """
    texts: dict[str, str] = {}
    plain = True
    for name, value in headers:
        text = (value or b"").decode("utf-8", "replace")
        plain = plain and name not in texts and text.encode() == value
        texts.setdefault(storable_text(name), text)
    if not plain:
        pairs = [
            (storable_text(name), None if value is None else b64encode(value).decode())
            for name, value in headers
        ]
        texts[_ALL_HEADERS] = b64encode(orjson.dumps(pairs)).decode()
    return texts


def original_headers(letter: DeadLetter) -> Headers:
    """Return the headers that the record of a dead letter had.

    >>> from datetime import UTC
    >>> from schemas.dead_letters import RejectCode
    >>> record = LogRecord("t", 0, 0, 0, None, b"", [("a", b"\\xff"), ("a", None)])
    >>> rejection = Reject(RejectCode.UNPARSABLE, "")
    >>> message = record_dead_letter("load", record, rejection, datetime(2026, 1, 1, tzinfo=UTC))
    >>> original_headers(DeadLetter.model_validate_json(message.value))
    [('a', b'\\xff'), ('a', None)]
    """
    if raw := letter.headers.get(_ALL_HEADERS):
        # A letter that somebody else wrote may have anything there.
        with suppress(ValueError, TypeError):
            return [
                (str(name), None if value is None else b64decode(value))
                for name, value in orjson.loads(b64decode(raw))
            ]
    return [(name, value.encode()) for name, value in letter.headers.items()]


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
