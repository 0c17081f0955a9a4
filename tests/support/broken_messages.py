"""Messages that no producer of ours writes: a corpus of known kinds, and mutations of valid ones.

The same seed and number give the same message everywhere.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from pipeline.log.port import Headers, Message
from schemas.topics import TOPICS
from tests.support import fuzz

Samples = Mapping[str, Sequence[Message]]
"""Valid messages by topic."""

_STATED = b"application/cloudevents+json"
_BODY = hashlib.sha256(b"a body that was never stored").hexdigest()
_DEEP = 200_000
_VALUES: dict[str, bytes] = {
    "empty": b"",
    "array": b"[]",
    "object": b"{}",
    "null": b"null",
    "string": b'"text"',
    "number": b"17",
    "array of objects": b'[{"record_id": 1}]',
    "noise": random.Random(1).randbytes(300),
    "zeros": bytes(64),
    "invalid UTF-8": b'{"text": "\xff\xfe\xed\xa0\x80"}',
    "lone surrogate": b'{"record_id": "\\ud800", "kind": "\\ud800"}',
    "NaN": b'{"p": NaN}',
    "infinite": b'{"p": Infinity, "weight": -Infinity}',
    "1e999": b'{"weight": 1e999, "kind": "example"}',
    "many digits": b'{"number": ' + b"9" * 5_000 + b"}",
    "doubled keys": b'{"kind": "example", "kind": [], "head": {}, "head": 1}',
    "deep array": b"[" * _DEEP + b"]" * _DEEP,
    # Kafka takes messages of a MiB.
    "deep object": b'{"a":' * (_DEEP // 2) + b"1" + b"}" * (_DEEP // 2),
    "cut": b'{"record_id": "8c4dd2da-6c13-8adb',
    "BOM": b"\xef\xbb\xbf{}",
    "unhashable": b'{"kind": "example", "head": [], "value": {}, "source": [], "text": 1}',
    "generation": b'{"kind": "generation", "number": "x", "state": []}',
    "pin": b'{"kind": "pin", "generation": 0, "offset": {}}',
    "rollback": b'{"kind": "rollback", "generation": 0, "offset": 9e18}',
    "data of a wrong type": b'{"channel": [], "text": {}, "from": [[]]}',
}
_CORRECT = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"b"),
    ("ce_source", b"test/broken"),
    ("ce_type", b"comm.message.received"),
)
_HEADERS: dict[str, Headers] = {
    "no header": (),
    "wrong specversion": (("ce_specversion", b"0.3"), *_CORRECT[1:]),
    "wrong type": (*_CORRECT[:3], ("ce_type", b"comm.fax")),
    "no id": (_CORRECT[0], *_CORRECT[2:]),
    "long id": (*_CORRECT[:1], ("ce_id", b"i" * 50_000), *_CORRECT[2:]),
    "doubled": (*_CORRECT, *_CORRECT, ("sb_contract", b"Record"), ("sb_contract", b"Link")),
    "binary": (*_CORRECT[:2], ("ce_source", b"\xff\x00\xfe"), ("ce_locator", bytes(range(256)))),
    "null": (("ce_id", None), ("sb_contract", None), ("content-type", None)),
    "unknown contract": (("sb_contract", b"Nothing"),),
    "wrong version": (*_CORRECT, ("sb_version", b"-1")),
    "endless version": (*_CORRECT, ("sb_version", b"9" * 5_000)),
    "wrong time": (*_CORRECT, ("ce_time", b"99999-99-99")),
    "ancient time": (*_CORRECT, ("ce_time", b"0001-01-01T00:00:00+14:00")),
    "time of the future": (*_CORRECT, ("ce_time", b"9999-12-31T23:59:59-14:00")),
    "long tenant": (*_CORRECT, ("ce_tenant", b"t" * 20_000)),
    "odd names": (*_CORRECT, ("ce_", b"x"), ("ce_data", b"x"), ("", b""), ("ce_copy", b"x")),
    "mail with wrong fields": (*_CORRECT, ("content-type", b"message/rfc822"), ("sb_data", b"[]")),
    "structured": (("content-type", _STATED),),
}  # fmt: skip
_REFERENCES = {
    "path": b"../../../../etc/passwd",
    "absolute": b"/etc/passwd",
    "nothing": b"",
    "never stored": _BODY.encode(),
    "upper case": _BODY.upper().encode(),
    "too long": b"a" * 5_000,
    "binary": b"\xff\x00" * 32,
    "URL": b"http://127.0.0.1:9/body",
    "null": None,
}
_KEYS: dict[str, bytes | None] = {
    "no key": None,
    "empty key": b"",
    "binary key": b"\x00\xff\xfe",
    "huge key": b"k" * 100_000,
    "state key": b'["pane",0]',
    "next key": b'["next",0,"records.v1"]',
    "key with another partition": b'["pane","x",[],{}]',
}


def corpus(samples: Samples) -> list[Message]:
    """Return every kind of broken message, once on each topic of the contracts."""
    return [message for topic in TOPICS for message in _corpus_of(topic, samples)]


def _corpus_of(topic: str, samples: Samples) -> Iterator[Message]:
    def message(value: bytes, headers: Headers = (), key: bytes | None = b"k") -> Message:
        if TOPICS[topic].compacted:
            return Message(topic, key or b"k", value, headers, partition=0)
        return Message(topic, key, value, headers)

    contracts = [contract.__name__.encode() for contract in TOPICS[topic].carries]
    for value in _VALUES.values():
        yield message(value, _CORRECT)
        # The large ones once: they cost as much as all others.
        for contract in contracts if len(value) < _DEEP else ():
            yield message(value, (("sb_contract", contract),))
    for headers in _HEADERS.values():
        yield message(b'{"channel": "chat", "text": 5}', headers)
    for reference in _REFERENCES.values():
        yield message(b"", (*_CORRECT, ("ce_dataref", reference)))
    yield message(b"", (("ce_dataref", b"x"), ("ce_dataref", _BODY.encode())))
    for key in _KEYS.values():
        yield message(b"[]", _CORRECT, key)
    if not TOPICS[topic].compacted:
        # Kafka's null value, which only a message with a partition has.
        yield Message(topic, b"k", b"", _CORRECT, partition=0)
    for other, valid in samples.items():
        if other != topic:
            for item in valid[:2]:
                yield replace(message(item.value, item.headers, item.key))


def mutations(samples: Samples, seed: int, count: int) -> Iterator[Message]:
    """Yield `count` mutations of valid messages, most of them on the topic of the original."""
    for number in range(count):
        yield mutation(samples, seed, number)


def mutation(samples: Samples, seed: int, number: int) -> Message:
    """Return one mutation by its number."""
    rng = random.Random(f"{seed}/message/{number}")
    topic = rng.choice(sorted(samples))
    message = rng.choice(samples[topic])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        message = rng.choice(_MUTATORS)(message, rng)
    target = rng.choice(list(TOPICS)) if rng.random() < 0.15 else topic
    if TOPICS[target].compacted:
        return replace(message, topic=target, key=message.key or b"k", partition=0)
    return replace(message, topic=target, partition=None)


# ---- mutators

Mutator = Callable[[Message, random.Random], Message]
_ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1 << 62, 1e308, "", "x", " ", "\u202e\u0000", [], {}, [[]], [None], [{}],
    {"a": {"b": []}}, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "1" * 3_000,
)  # fmt: skip
_RAW = (b"NaN", b"Infinity", b"1e999", b"-0", b"\xff", b"9" * 400, b"[" * 3_000, b'{"a":' * 3_000)


def _damage(message: Message, rng: random.Random) -> Message:
    mutate = rng.choice(
        (fuzz.truncate, fuzz.behead, fuzz.flip_bits, fuzz.drop_span, fuzz.repeat_span,
         fuzz.insert_noise, fuzz.insert_nul, fuzz.insert_token, fuzz.huge_numbers)
    )  # fmt: skip
    return replace(message, value=mutate(message.value, rng))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every container in a JSON value with each of its keys or indices."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    places = [(value, key) for key in keys]
    for key in keys:
        places += _places(value[key])
    return places


def _change_json(message: Message, rng: random.Random) -> Message:
    """Remove a field, or swap it for a value of another type."""
    try:
        value = orjson.loads(message.value)
    except orjson.JSONDecodeError:
        return _damage(message, rng)
    places = _places(value)
    if not places:
        return _damage(message, rng)
    container, key = rng.choice(places)
    if rng.random() < 0.3:
        del container[key]
    else:
        container[key] = rng.choice(_ODD)
    return replace(message, value=orjson.dumps(value))


def _repeat_key(message: Message, rng: random.Random) -> Message:
    """Name a field of the JSON twice, with a number that JSON does not have, or a broken text."""
    head, colon, rest = message.value.partition(b":")
    return replace(message, value=head + b":" + rng.choice(_RAW) + b"," + head[1:] + colon + rest)


def _change_headers(message: Message, rng: random.Random) -> Message:
    headers = list(message.headers)
    if headers and rng.random() < 0.4:
        name, value = headers.pop(rng.randrange(len(headers)))
        if rng.random() < 0.7:
            headers.append((name, fuzz.flip_bits(value or b"", rng)))
    else:
        headers += rng.choice(list(_HEADERS.values()))
    rng.shuffle(headers)
    return replace(message, headers=tuple(headers))


def _refer(message: Message, rng: random.Random) -> Message:
    reference = rng.choice(list(_REFERENCES.values()))
    return replace(message, value=b"", headers=(*message.headers, ("ce_dataref", reference)))


def _change_key(message: Message, rng: random.Random) -> Message:
    return replace(message, key=rng.choice(list(_KEYS.values())))


_MUTATORS: tuple[Mutator, ...] = (
    *(_damage,) * 4,
    *(_change_json,) * 6,
    _repeat_key,
    *(_change_headers,) * 2,
    _refer,
    _change_key,
)
