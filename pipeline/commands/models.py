"""Versions of the models: what there is, a version made again from the examples, pins and
rollbacks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from typing import Any

import orjson

from pipeline.commands.generations import produce
from pipeline.errors import UserError
from pipeline.log.port import Log, Scan
from pipeline.models.classifier import Classifier
from pipeline.models.examples_fold import ExamplesFold
from pipeline.models.heads import HEADS, Head
from pipeline.models.replica import EXAMPLE_KINDS, Refused, Replica, rules_version
from pipeline.models.snapshot import digest, dump, load
from pipeline.models.state_format import StateError
from pipeline.runtime.model_worker import fold_path, outline, scanned
from pipeline.runtime.runner import utc_now
from pipeline.sinks.warehouse import Warehouse, rows
from schemas.labels import Pin, Rollback

_VERSION = re.compile(r"(\d+)/(-?\d+)(?:/([0-9a-f]+))?")
# Every label makes a version: a list of the last ones that answered is what a person reads.
_MOST_VERSIONS = 20


class VersionError(UserError, ValueError):
    """A version is not one, or none that can be made again; the message says why."""


@dataclass(frozen=True, slots=True)
class Version:
    """A state of the models: that of a generation after the event at an offset."""

    generation: int
    offset: int

    @classmethod
    def parse(cls, text: str, recipe: str) -> Version:
        """Return the version that predictions carry as generation/offset/recipe; the recipe may be
        left out.
        """
        found = _VERSION.fullmatch(text.strip())
        if found is None:
            raise VersionError(
                f"{text!r} is no version: write generation/offset, as `switchboard models list`"
                " shows it"
            )
        if found[3] and found[3] != recipe:
            raise VersionError(
                f"{text} was made by recipe {found[3]}, this release's is {recipe}: only that"
                " release makes it again"
            )
        return cls(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class HeadState:
    """What one head has learnt, and how well it did before each label: shares of right answers,
    null without a test.
    """

    head: str
    labels: int
    classes: int
    answers: str
    tests: int
    accuracy: float | None
    model_accuracy: float | None
    rule_accuracy: float | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A version as `models show` tells it. `digest` is the SHA-256 of all its weights: two workers
    at one version agree in it.
    """

    version: str
    digest: str
    held: int
    heads: tuple[HeadState, ...]


def checked(fold: ExamplesFold, text: str) -> Version:
    """Return a version that the examples can make again (text empty: the one that goes on); raises
    VersionError saying why not.
    """
    if not text:
        return Version(fold.live.generation, fold.live.offset)
    version = Version.parse(text, fold.live.recipe)
    if version.generation != fold.live.generation:
        raise VersionError(
            f"generation {version.generation} is gone: the examples of generation"
            f" {fold.live.generation} are what is kept"
        )
    first, last = fold.generation_start(), fold.live.offset
    if not first <= version.offset <= last:
        raise VersionError(
            f"offset {version.offset} is not one of generation {version.generation}: {first} to"
            f" {last}"
        )
    return version


def replica_at(log: Scan, text: str = "", heads: tuple[Head, ...] = HEADS) -> Replica:
    """Return the models of a version, made again from the examples; raises VersionError where they
    cannot be.
    """
    fold = outline(log, heads)
    return fold_path(log, fold.path(checked(fold, text).offset), heads)


def models_of(log: Scan, version: str, heads: tuple[Head, ...]) -> Classifier | None:
    """Return the models that answer with this version, made again; None where they cannot be had:
    other recipe, gone generation.

    A hundred thousand examples take some twenty seconds.
    """
    if version == rules_version(heads):
        return Replica(heads=heads).snapshot()
    try:
        return replica_at(log, version, heads).snapshot()
    except VersionError:
        return None


def shown(replica: Replica) -> Shown:
    """Return what a version has learnt, and how well it did."""
    learners = replica.learners()
    answering = replica.snapshot().answering()
    states = []
    for head in replica.heads:
        learner, tally = learners.get(head.name), replica.quality(head.name)

        def share(right: int, count: int = tally.count) -> float | None:
            return right / count if count else None

        states.append(
            HeadState(
                head=head.name,
                labels=learner.documents if learner else 0,
                classes=int((learner.seen > 0).sum()) if learner else 0,
                answers="model" if head.name in answering else "rules",
                tests=tally.count,
                accuracy=share(tally.served_correct),
                model_accuracy=share(tally.model_correct),
                rule_accuracy=share(tally.rule_correct),
            )
        )
    return Shown(replica.version, digest(replica), len(replica.held), tuple(states))


def listed(log: Log, warehouse: Warehouse, heads: tuple[Head, ...] = HEADS) -> list[dict[str, Any]]:
    """Return generations, pins, rollbacks and promotions, then the versions that answered last,
    then what answers now.
    """
    found = []
    for record in scanned(log):
        event = orjson.loads(record.value)
        if event.get("kind") not in EXAMPLE_KINDS:
            found.append(
                {
                    "offset": record.offset,
                    "at": event.get("at") or event.get("promoted_at", ""),
                    **_told(event),
                }
            )
    answered = rows(
        warehouse,
        "SELECT model_version AS version, toUInt32(uniqExact(record_id)) AS records,"
        " toString(min(predicted_at)) AS first, toString(max(predicted_at)) AS last FROM"
        " predictions WHERE NOT startsWith(model_version, 'rules/') GROUP BY model_version ORDER"
        f" BY last DESC, version DESC LIMIT {_MOST_VERSIONS}",
    )
    found += [
        {
            "what": "answered",
            "version": row["version"],
            "at": row["last"],
            "by": "",
            "reason": "",
            **row,
        }
        for row in reversed(answered)
    ]
    fold = outline(log, heads)
    now = fold.pin or fold.live.version
    reason = f"pinned; {fold.live.version} learns beside it" if fold.pin else ""
    return [*found, {"what": "answers now", "version": now, "at": "", "by": "", "reason": reason}]


def _told(event: dict[str, Any]) -> dict[str, Any]:
    kind, state = event.get("kind", ""), event.get("state", "")
    generation = event.get("number", event.get("generation"))
    version = (
        ""
        if generation is None
        else f"{generation}/{event['offset']}"
        if "offset" in event
        else str(generation)
    )
    what = "unpin" if kind == "pin" and generation is None else f"{kind} {state}".strip()
    reason = event.get("reason", "")
    if kind == "promotion":
        reason = (
            f"{event.get('examples')} examples of {event.get('head')} follow, for which"
            f" {event.get('model')} spoke"
        )
    return {"what": what, "version": version, "by": event.get("by", ""), "reason": reason}


def pin(log: Log, text: str, reason: str = "", heads: tuple[Head, ...] = HEADS) -> Version:
    """Let every worker answer with a version (text empty: the one that goes on) until the pin is
    taken out.
    """
    fold = outline(log, heads)
    version = checked(fold, text)
    _say(
        log,
        fold,
        Pin(
            generation=version.generation,
            offset=version.offset,
            by=getuser(),
            reason=reason,
            at=utc_now(),
        ),
    )
    return version


def unpin(log: Log, reason: str = "") -> None:
    """Let the models answer as they stand again; raises VersionError where nothing is pinned."""
    if not outline(log).pin:
        raise VersionError("nothing is pinned")
    produce(log, [Pin(by=getuser(), reason=reason, at=utc_now())])


def roll_back(log: Log, text: str, reason: str = "", heads: tuple[Head, ...] = HEADS) -> Version:
    """Let every worker go on from a version, as if the examples since had not been."""
    fold = outline(log, heads)
    version = checked(fold, text)
    event = Rollback(
        generation=version.generation,
        offset=version.offset,
        by=getuser(),
        reason=reason,
        at=utc_now(),
    )
    _say(log, fold, event)
    return version


def _say(log: Log, fold: ExamplesFold, event: Pin | Rollback) -> None:
    """Put an event on the log that the fold will obey; raises VersionError with the fold's own
    reason where it would not.
    """
    would = fold.apply(
        event.model_dump(mode="json"),
        fold.position + 1,
        lambda _: Replica(fold.live.generation, fold.heads),
    )
    if isinstance(would, Refused):
        raise VersionError(would.detail)
    produce(log, [event])


def export(replica: Replica, path: Path) -> str:
    """Write a version to a file, whole or not at all, and return its digest, which `read_exported`
    checks.
    """
    part = path.with_name(path.name + ".part")
    part.write_bytes(dump(replica))
    part.replace(path)
    return digest(replica)


def read_exported(path: Path, heads: tuple[Head, ...] = HEADS) -> Replica:
    """Return the models of an exported file; raises VersionError where it is harmed, or another
    recipe made it.
    """
    try:
        return load(path.read_bytes(), heads)
    except StateError as error:
        raise VersionError(f"{path}: {error}") from error
