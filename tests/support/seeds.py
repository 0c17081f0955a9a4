"""Small valid inputs for every connector, and what the laws need to know of its format.

They are files in `tests/seeds/<connector>/`, from which the fuzzers make broken inputs. A connector
that needs an exception from a law states it there in `traits.toml`; see `Traits`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Literal

from pipeline.identity.contacts import OwnSide
from pipeline.ingest.port import IngestOptions
from pipeline.ingest.registry import CONNECTORS

_FOLDER = Path(__file__).resolve().parents[1] / "seeds"
_TRAITS = "traits.toml"

OWN = OwnSide(("shop.example.net", "800", "801", "802", "惠茗茶器", "Huiming Tea"), region="CN")
OPTIONS = IngestOptions(source="seeds", zone=UTC, own=OWN)


@dataclass(frozen=True, slots=True)
class Traits:
    """What is special about a connector's format; most have none of this."""

    has_header: bool = False
    ids_depend_on_file_name: bool = False
    surveys_file: bool = False
    hostile: Literal["mail", "table"] = "table"


def _seeds(connector: str) -> tuple[bytes, ...]:
    files = [path for path in sorted((_FOLDER / connector).glob("*")) if path.name != _TRAITS]
    assert files, (
        f"the connector {connector} has no valid example: add a small file to"
        f" tests/seeds/{connector}/"
    )
    return tuple(path.read_bytes() for path in files)


def _traits(connector: str) -> Traits:
    path = _FOLDER / connector / _TRAITS
    return Traits(**tomllib.loads(path.read_text("utf-8"))) if path.exists() else Traits()


SEEDS: dict[str, tuple[bytes, ...]] = {name: _seeds(name) for name in CONNECTORS}
TRAITS: dict[str, Traits] = {name: _traits(name) for name in CONNECTORS}
