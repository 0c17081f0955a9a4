"""The command `explain`: a record's text and the models that answered about it, brought together
once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pipeline.commands.models import models_of
from pipeline.errors import UserError
from pipeline.log.port import Log
from pipeline.models.classifier import Classifier
from pipeline.models.explanation import Explanation, explain, strongest
from pipeline.runtime.model_worker import Learner
from pipeline.runtime.stages import labelled_texts
from pipeline.sinks.warehouse import Warehouse, rows
from pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Explained:
    """Why a head answered as it did, and a note where it was not possible to ask the models that
    did.
    """

    why: Explanation
    note: str

    @property
    def rival(self) -> str:
        """The likeliest label beside the answer, or ""."""
        return next(
            (label for label in self.why.probabilities if label != self.why.answer.label), ""
        )

    def weight(self, text: str, label: str) -> float:
        """Return what a piece of the text adds to a label's score."""
        return next(piece.weights[label] for piece in self.why.pieces if piece.text == text)

    def as_json(self, most: int) -> dict[str, Any]:
        """Return everything for a machine, the `most` telling pieces of the text."""
        why = self.why
        return {
            "head": why.head,
            **{
                name: getattr(why.answer, name)
                for name in ("label", "also", "probability", "abstained", "version")
            },
            "threshold": why.threshold,
            "note": self.note,
            "rule": why.rule._asdict(),
            "hint": why.hint,
            "probabilities": why.probabilities,
            "pieces": [
                {
                    "text": text,
                    "weight": weight,
                    "rival": self.weight(text, self.rival) if self.rival else 0.0,
                }
                for text, weight in strongest(why.pieces, why.answer.label, most)
            ],
            "rival": self.rival,
            "clauses": [
                {"text": text, "label": label, "probability": p} for text, label, p in why.clauses
            ],
        }


def current_models(workspace: Workspace, log: Log) -> Classifier:
    """Return the models that answer now, pinned or not: this installation's snapshot, where one
    lies here, and all examples since.
    """
    return Learner(
        log, workspace.root / "models" / "snapshot", workspace.settings.head_table()
    ).fold.classifier()


def explain_record(
    workspace: Workspace,
    log: Log,
    warehouse: Warehouse,
    record: UUID,
    heads: Sequence[str],
    *,
    current: bool,
) -> list[Explained]:
    """Return why each head answered as the record shows, by the models that did, or by the
    `current` ones where that is asked.

    Where those that did cannot be had again, the current ones are asked and the note says so.
    Raises UserError for a record that the history does not hold.
    """
    found = labelled_texts(warehouse, [record])
    if record not in found:
        raise UserError(
            f"the history holds no record {record}; see `switchboard query 'SELECT record_id,"
            " subject FROM communications'`"
        )
    shown = {} if current else _shown(warehouse, record)
    asked: dict[str, Classifier | None] = {}
    now: Classifier | None = None
    explained = []
    for head in heads:
        version, note = shown.get(head, ""), ""
        if version and version not in asked:
            asked[version] = models_of(log, version, workspace.settings.head_table())
        models = asked.get(version)
        if models is None:
            if version:
                note = (
                    f"the record shows an answer of {version}, whose models cannot be had again:"
                    " these are the current ones"
                )
            models = now = now or current_models(workspace, log)
        explained.append(
            Explained(explain(models, found[record].text, found[record].direction)[head], note)
        )
    return explained


def _shown(warehouse: Warehouse, record: UUID) -> dict[str, str]:
    """Return the version of the newest answer of each head about a record."""
    newest = rows(
        warehouse,
        "SELECT head, argMax(model_version, version) AS newest FROM prediction_rows FINAL"
        " WHERE record_id = {record:UUID} GROUP BY head",
        record=str(record),
    )
    return {row["head"]: row["newest"] for row in newest}
