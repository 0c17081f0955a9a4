"""Generates what others read of the contracts: JSON Schemas and the AsyncAPI document. `python -m
schemas.generate [--check]`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from schemas.envelope import Event
from schemas.registry import EVENT_TYPES, contract_of
from schemas.topics import TOPICS, Topic
from schemas.types import Contract

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ROOT = Path(__file__).parent


def contracts() -> Iterator[type[Contract]]:
    """Yield every contract that crosses a border, each once: the envelope, then what the topics
    carry.
    """
    yield Event
    seen: set[type[Contract]] = set()
    for topic in TOPICS.values():
        for contract in topic.carries:
            if contract not in seen:
                seen.add(contract)
                yield contract


def json_schema(contract: type[Contract]) -> dict[str, Any]:
    """Return a contract's JSON Schema (draft 2020-12), as a producer in any language writes it."""
    schema = contract.model_json_schema(mode="validation", by_alias=True)
    return {"$schema": _DIALECT, "$id": f"{contract.__name__}.schema.json", **schema}


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document: every topic with its bindings, every message with its
    schema and headers.
    """
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Switchboard",
            "version": "1.0.0",
            "description": (
                "Events are CloudEvents 1.0 in Kafka's binary mode: ce_* headers, JSON value."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_key(topic): _channel(topic) for topic in TOPICS.values()},
        "operations": {
            f"receive_{_key(topic)}": {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{_key(topic)}"},
            }
            for topic in TOPICS.values()
        },
        "components": {
            "messages": {
                contract.__name__: _message(contract)
                for contract in contracts()
                if contract is not Event
            },
            "messageTraits": {"cloudevent": {"headers": _cloudevent_headers()}},
        },
    }


def _key(topic: Topic) -> str:
    return topic.name.replace(".", "_").replace("-", "_")


def _channel(topic: Topic) -> dict[str, Any]:
    retention = -1 if topic.retention_ms is None else topic.retention_ms
    return {
        "address": topic.name,
        "description": f"{topic.meaning}; key: {topic.key}",
        "messages": {
            contract.__name__: {"$ref": f"#/components/messages/{contract.__name__}"}
            for contract in topic.carries
        },
        "bindings": {
            "kafka": {
                "bindingVersion": "0.5.0",
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": topic.cleanup.split(","),
                    "retention.ms": retention,
                },
            }
        },
    }


def _message(contract: type[Contract]) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": contract.__name__,
        "summary": (contract.__doc__ or "").strip().splitlines()[0],
        "payload": {"$ref": f"json/{contract.__name__}.schema.json"},
    }
    types = [name for name in EVENT_TYPES if _carries(name, contract)]
    if types:
        message["traits"] = [{"$ref": "#/components/messageTraits/cloudevent"}]
        message["description"] = f"ce_type is one of {', '.join(types)}"
    return message


def _carries(event_type: str, contract: type[Contract]) -> bool:
    # A mail and a chat message share their types; the channel tells them apart.
    found = {contract_of(event_type, {"channel": channel}) for channel in ("email", "chat")}
    return contract in found


def _cloudevent_headers() -> dict[str, Any]:
    properties = json_schema(Event)["properties"]
    return {
        "type": "object",
        "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
        "properties": {
            f"ce_{name}": {"type": "string", "description": described.get("description", "")}
            for name, described in properties.items()
            if name != "data"
        },
    }


def documents() -> dict[str, str]:
    """Return every generated document by its path below `schemas/`."""
    files = {
        f"json/{contract.__name__}.schema.json": (
            json.dumps(json_schema(contract), ensure_ascii=False, indent=2) + "\n"
        )
        for contract in contracts()
    }
    files["asyncapi.yaml"] = yaml.safe_dump(
        asyncapi(), allow_unicode=True, sort_keys=False, width=120
    )
    return files


def write_or_check(root: Path, files: dict[str, str], check: bool) -> int:
    """Write documents below a folder, or only compare them and say which have drifted; return the
    exit code.
    """
    drifted = [name for name, text in files.items() if not _same(root / name, text)]
    if check:
        for name in drifted:
            print(
                f"{root / name} has drifted from the contracts: run `make generate`",
                file=sys.stderr,
            )
        return 1 if drifted else 0
    for name in drifted:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(files[name], "utf-8")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(write_or_check(_ROOT, documents(), check="--check" in sys.argv))
