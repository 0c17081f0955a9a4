"""`models`: list, rebuild, export, pin and roll back versions of the models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from typing import Any

import orjson

from pipeline.commands.generations import publish_events
from pipeline.errors import UserError
from pipeline.log.clock import utc_now
from pipeline.log.port import Log, TopicReader
from pipeline.models.classifier import Classifier
from pipeline.models.examples_fold import ExamplesFold
from pipeline.models.heads import HEADS, Head
from pipeline.models.replica import EXAMPLE_KINDS, RefusedEvent, Replica, rules_version
from pipeline.models.snapshot import digest, dump, load
from pipeline.models.state_format import StateError
from pipeline.runtime.model_worker import fold_markers_only, fold_path, scan_examples
from pipeline.sinks.warehouse import Warehouse, rows
from schemas.labels import Pin, Rollback

_VERSION = re.compile(r"(\d+)/(-?\d+)(?:/([0-9a-f]+))?")
# Every label makes a version; a person reads a list of the last ones that answered.
_MOST_VERSIONS = 20


class VersionError(UserError, ValueError):
    """A version does not exist or cannot be rebuilt; the message says why."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """The state of the models after one offset of a generation of the examples log."""

    generation: int
    offset: int

    @classmethod
    def parse(cls, text: str, recipe: str) -> ModelVersion:
        """Return the version of generation/offset/recipe, as in predictions; recipe is optional.

        >>> ModelVersion.parse("3/120", recipe="ab12")
        ModelVersion(generation=3, offset=120)
        """
        found = _VERSION.fullmatch(text.strip())
        if found is None:
            raise VersionError(
                f"{text!r} is not a version: write generation/offset, as in `switchboard models"
                " list`"
            )
        if found[3] and found[3] != recipe:
            raise VersionError(
                f"{text} was made by recipe {found[3]}, this release's is {recipe}: only that"
                " release makes it again"
            )
        return cls(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class HeadState:
    """What one head has learnt, and its accuracy before each label; None without a test."""

    head: str
    labels: int
    classes: int
    answers: str
    tests: int
    accuracy: float | None
    model_accuracy: float | None
    rule_accuracy: float | None


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """A version as `models show` prints it; `digest` is the SHA-256 of all its weights."""

    version: str
    digest: str
    effective_labels: int
    heads: tuple[HeadState, ...]


def resolve_version(fold: ExamplesFold, text: str) -> ModelVersion:
    """Return a version that can be rebuilt (empty text: the newest); raises VersionError."""
    if not text:
        return ModelVersion(fold.live.generation, fold.live.offset)
    version = ModelVersion.parse(text, fold.live.recipe)
    if version.generation != fold.live.generation:
        raise VersionError(
            f"generation {version.generation} is deleted: the log contains the examples of"
            f" generation {fold.live.generation}"
        )
    first, last = fold.generation_start(), fold.live.offset
    if not first <= version.offset <= last:
        raise VersionError(
            f"offset {version.offset} is not in generation {version.generation}: its offsets are"
            f" {first} to {last}"
        )
    return version


def replica_at(log: TopicReader, text: str = "", heads: tuple[Head, ...] = HEADS) -> Replica:
    """Rebuild the models of a version from the examples; raises VersionError if impossible."""
    fold = fold_markers_only(log, heads)
    return fold_path(log, fold.replay_plan(resolve_version(fold, text).offset), heads)


def models_at_version(log: TopicReader, version: str, heads: tuple[Head, ...]) -> Classifier | None:
    """Rebuild the models of a version; None for another recipe or a deleted generation.

    A hundred thousand examples take some twenty seconds.
    """
    if version == rules_version(heads):
        return Replica(heads=heads).classifier()
    try:
        return replica_at(log, version, heads).classifier()
    except VersionError:
        return None


def summarise_version(replica: Replica) -> VersionSummary:
    """Return what a version has learnt, and its accuracy."""
    learners = replica.learners()
    answering = replica.classifier().heads_with_model()
    states = []
    for head in replica.heads:
        learner, tally = learners.get(head.name), replica.quality(head.name)

        def share(right: int, count: int = tally.count) -> float | None:
            return right / count if count else None

        states.append(
            HeadState(
                head=head.name,
                labels=learner.documents if learner else 0,
                classes=int((learner.label_counts > 0).sum()) if learner else 0,
                answers="model" if head.name in answering else "rules",
                tests=tally.count,
                accuracy=share(tally.served_correct),
                model_accuracy=share(tally.model_correct),
                rule_accuracy=share(tally.rule_correct),
            )
        )
    return VersionSummary(
        replica.version, digest(replica), len(replica.label_resolution), tuple(states)
    )


def list_versions(
    log: Log, warehouse: Warehouse, heads: tuple[Head, ...] = HEADS
) -> list[dict[str, Any]]:
    """Return generations, pins, rollbacks and promotions, then the versions that answered last.

    The last row is the version that answers now.
    """
    found = []
    for record in scan_examples(log):
        event = orjson.loads(record.value)
        if event.get("kind") not in EXAMPLE_KINDS:
            found.append(
                {
                    "offset": record.offset,
                    "at": event.get("at") or event.get("promoted_at", ""),
                    **_control_event_row(event),
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
    fold = fold_markers_only(log, heads)
    now = fold.pin or fold.live.version
    reason = f"pinned; {fold.live.version} continues to learn" if fold.pin else ""
    return [*found, {"what": "answers now", "version": now, "at": "", "by": "", "reason": reason}]


def _control_event_row(event: dict[str, Any]) -> dict[str, Any]:
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
            f"{event.get('examples')} examples of {event.get('head')} follow; the best model was"
            f" {event.get('model')}"
        )
    return {"what": what, "version": version, "by": event.get("by", ""), "reason": reason}


def pin_version(
    log: Log, text: str, reason: str = "", heads: tuple[Head, ...] = HEADS
) -> ModelVersion:
    """Make every worker answer with a version (empty text: the newest) until it is unpinned."""
    fold = fold_markers_only(log, heads)
    version = resolve_version(fold, text)
    _publish_if_accepted(
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


def unpin_version(log: Log, reason: str = "") -> None:
    """Make the newest version answer again; raises VersionError if nothing is pinned."""
    if not fold_markers_only(log).pin:
        raise VersionError("nothing is pinned")
    publish_events(log, [Pin(by=getuser(), reason=reason, at=utc_now())])


def roll_back(
    log: Log, text: str, reason: str = "", heads: tuple[Head, ...] = HEADS
) -> ModelVersion:
    """Make every worker continue from a version, without the examples since."""
    fold = fold_markers_only(log, heads)
    version = resolve_version(fold, text)
    event = Rollback(
        generation=version.generation,
        offset=version.offset,
        by=getuser(),
        reason=reason,
        at=utc_now(),
    )
    _publish_if_accepted(log, fold, event)
    return version


def _publish_if_accepted(log: Log, fold: ExamplesFold, event: Pin | Rollback) -> None:
    """Write an event that the fold accepts; raises VersionError with its reason if it does not."""
    effect = fold.apply(
        event.model_dump(mode="json"),
        fold.position + 1,
        lambda _: Replica(fold.live.generation, fold.heads),
    )
    if isinstance(effect, RefusedEvent):
        raise VersionError(effect.detail)
    publish_events(log, [event])


def export_version(replica: Replica, path: Path) -> str:
    """Write a version to a file atomically; return its digest, which `read_exported` verifies."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(dump(replica))
    part.replace(path)
    return digest(replica)


def read_exported(path: Path, heads: tuple[Head, ...] = HEADS) -> Replica:
    """Read an exported file; raises VersionError if it is damaged or of another recipe."""
    try:
        return load(path.read_bytes(), heads)
    except StateError as error:
        raise VersionError(f"{path}: {error}") from error
