"""Converse: conversations, facts, follow-ups and flags of a contact point, as a pure fold over the set of its records."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from pipeline.processors.converse.fold import Converse, Read
from pipeline.processors.converse.hours import BusinessHours, parse_hours
from pipeline.processors.converse.rules import Rules, ServicePromises
from pipeline.processors.converse.seen import Seen
from pipeline.processors.converse.state import State

__all__ = ["BusinessHours", "Converse", "Read", "Seen", "ServicePromises", "State", "converse_fold", "parse_hours"]


def converse_fold(
    hours: BusinessHours | None, promises: ServicePromises, zone: ZoneInfo, bots: Iterable[str] = ()
) -> Converse:
    """Return the fold; `hours` None: no business hours are set; `zone` is the one in which texts say times; `bots` names of bots."""
    return Converse(Rules(hours, promises, zone, frozenset(name.casefold() for name in bots)))
