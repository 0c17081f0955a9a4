"""Generates JSON Schemas and the AsyncAPI document: `python -m schemas.generate [--check]`."""

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
    """Yield every contract once: the envelope, then those that the topics carry."""
    yield Event
    carried = (contract for topic in TOPICS.values() for contract in topic.carries)
    yield from dict.fromkeys(carried)


def json_schema(contract: type[Contract]) -> dict[str, Any]:
    """Return a contract's JSON Schema (draft 2020-12), by the field names used in JSON."""
    schema = _with_folded_descriptions(contract.model_json_schema(mode="validation", by_alias=True))
    return {"$schema": _DIALECT, "$id": f"{contract.__name__}.schema.json", **schema}


def _with_folded_descriptions(node: Any) -> Any:
    """Return a schema whose descriptions have no line breaks, unlike docstrings."""
    if isinstance(node, list):
        return [_with_folded_descriptions(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: " ".join(child.split())
        if key == "description" and isinstance(child, str)
        else _with_folded_descriptions(child)
        for key, child in node.items()
    }


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document: topics with their bindings, messages with their schemas."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Switchboard",
            "version": "1.0.0",
            "description": (
                "Events are CloudEvents 1.0 in Kafka's binary mode: ce_* headers, JSON value. The"
                " value of a mail may also be its bytes (content-type message/rfc822); the other"
                " fields of its data are then JSON in the header sb_data."
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
    # A mail and a chat message have the same types and differ in their channel.
    return contract in {contract_of(event_type, {"channel": name}) for name in ("email", "chat")}


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
    """Write the documents, or with `check` only compare them; return the exit code."""
    outdated = [name for name, text in files.items() if not _same(root / name, text)]
    if check:
        for name in outdated:
            print(
                f"{root / name} is out of date with the contracts; run `make generate`",
                file=sys.stderr,
            )
        return 1 if outdated else 0
    for name in outdated:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(files[name], "utf-8")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(write_or_check(_ROOT, documents(), check="--check" in sys.argv))
