"""A team's own heads and labels, read from a TOML file; see docs/guide/heads.md for its form."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from pipeline.errors import UserError
from pipeline.models.answers import Rule
from pipeline.models.custom_terms import TermsError, rule_from_terms
from pipeline.models.heads import HEADS, Head, Meaning
from schemas.labels import Name
from schemas.registry import explain

# Half of the probability: chance level with two labels, a clear favourite with more.
_THRESHOLD: Final = 0.5
# A question with one possible answer is no question.
_MINIMUM_LABELS: Final = 2
# The fields of a built-in head that a file may change; its question and directions are fixed.
_CHANGEABLE: Final = frozenset(("labels", "threshold", "precision", "minimum_labels"))

_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
_Direction = Literal["inbound", "outbound", "internal"]


class HeadsError(UserError, ValueError):
    """A file of heads is invalid; the message names the file, the head and the field."""


class _TomlTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _LabelTable(_TomlTable):
    en: _Words
    zh: _Words = ""
    terms: tuple[_Words, ...] = ()


class _HeadTable(_TomlTable):
    en: _Words = ""
    zh: _Words = ""
    labels: dict[Name, _LabelTable] = {}
    directions: tuple[_Direction, ...] = Field(("inbound", "outbound", "internal"), min_length=1)
    threshold: float = Field(_THRESHOLD, gt=0, lt=1)
    precision: float = Field(HEADS[0].precision, gt=0, lt=1)
    minimum_labels: int = Field(HEADS[0].minimum_labels, ge=2, le=100_000)
    several: bool = False


class _HeadsFile(_TomlTable):
    heads: dict[Name, _HeadTable]


def read_heads(path: Path, built_in: Sequence[Head] = HEADS) -> tuple[Head, ...]:
    """Return the built-in heads as the file changes them, then the file's own heads.

    Raises HeadsError if the file cannot be read or is invalid; the message names the head and the
    field, and says what is allowed.
    """
    try:
        file = _HeadsFile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise HeadsError(
            f"{path}: {error.strerror or error}; the setting `heads` names this file: correct it"
        ) from error
    except UnicodeDecodeError as error:
        raise HeadsError(f"{path}: not UTF-8: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise HeadsError(f"{path}: not TOML: {error}") from error
    except ValidationError as error:
        raise HeadsError(f"{path}: {explain(error)[1]}") from error
    names = {head.name for head in built_in}
    changed = [
        _changed(path, head, file.heads[head.name]) if head.name in file.heads else head
        for head in built_in
    ]
    return (
        *changed,
        *(_own(path, name, entry) for name, entry in file.heads.items() if name not in names),
    )


def _own(path: Path, name: str, entry: _HeadTable) -> Head:
    where = f"{path}: heads.{name}"
    if not entry.en:
        raise HeadsError(f"{where}.en: missing; describe the question in English (zh: in Chinese)")
    if len(entry.labels) < _MINIMUM_LABELS:
        raise HeadsError(
            f"{where}.labels: a head needs two labels or more, but this one has {len(entry.labels)}"
        )
    directions = frozenset(entry.directions)
    terms = _terms(entry.labels)
    return Head(
        name=name,
        meaning=Meaning(entry.en, entry.zh or entry.en),
        labels=_meanings(entry.labels),
        rule=_rule(where, terms),
        threshold=entry.threshold,
        # Texts of unknown direction are treated as the customers'.
        directions=directions | {""} if "inbound" in directions else directions,
        minimum_labels=entry.minimum_labels,
        precision=entry.precision,
        combinable=frozenset(entry.labels) if entry.several else frozenset(),
        terms=terms,
    )


def _changed(path: Path, head: Head, entry: _HeadTable) -> Head:
    where = f"{path}: heads.{head.name}"
    if wrong := sorted(entry.model_fields_set - _CHANGEABLE):
        raise HeadsError(
            f"{where}.{wrong[0]}: cannot be changed in a built-in head; only"
            f" {', '.join(sorted(_CHANGEABLE))} can: define a head of your own"
        )
    if known := sorted(set(entry.labels) & set(head.labels)):
        raise HeadsError(f"{where}.labels.{known[0]}: {head.name} already has this label")
    fields = {name: getattr(entry, name) for name in entry.model_fields_set - {"labels"}}
    if not entry.labels:
        return replace(head, **fields)
    terms = _terms(entry.labels)
    return replace(
        head,
        labels={**head.labels, **_meanings(entry.labels)},
        rule=_rule(where, terms, head),
        terms=terms,
        combinable=head.combinable | set(entry.labels) if head.combinable else head.combinable,
        **fields,
    )


def _meanings(labels: Mapping[str, _LabelTable]) -> dict[str, Meaning]:
    return {name: Meaning(label.en, label.zh or label.en) for name, label in labels.items()}


def _terms(labels: Mapping[str, _LabelTable]) -> dict[str, tuple[str, ...]]:
    return {name: label.terms for name, label in labels.items() if label.terms}


def _rule(
    where: str, terms: Mapping[str, Sequence[str]], built_in: Head | None = None
) -> Rule | None:
    try:
        return rule_from_terms(terms, built_in.rule if built_in else None)
    except TermsError as error:
        raise HeadsError(f"{where}.labels.{error}") from error
