"""One damage of an installation, as `check` reports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Damage:
    """What is damaged, in which part, and the commands that repair it, one after the other.

    `part` is log, store, offsets, bodies, models, ingest or secret.
    """

    part: str
    message: str
    commands: tuple[str, ...]
