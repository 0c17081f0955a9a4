"""`explain`: rebuild the models that answered about a record, and explain their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pipeline.commands.models import models_at_version
from pipeline.errors import UserError
from pipeline.log.port import Log
from pipeline.models.classifier import Classifier
from pipeline.models.explanation import Explanation, explain, top_contributions
from pipeline.runtime.model_worker import ModelWorker
from pipeline.runtime.stages import labelled_texts
from pipeline.sinks.warehouse import Warehouse, rows
from pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class HeadExplanation:
    """Why a head answered as it did, and a note if its models could not be rebuilt."""

    why: Explanation
    note: str

    @property
    def rival(self) -> str:
        """The most likely label besides the answer, or ""."""
        return next(
            (label for label in self.why.probabilities if label != self.why.answer.label), ""
        )

    def weight(self, text: str, label: str) -> float:
        """Return how much a piece of the text adds to the score of a label."""
        return next(piece.weights[label] for piece in self.why.contributions if piece.text == text)

    def as_json(self, most: int) -> dict[str, Any]:
        """Return the explanation as JSON, with the `most` pieces that weigh most."""
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
                for text, weight in top_contributions(why.contributions, why.answer.label, most)
            ],
            "rival": self.rival,
            "clauses": [
                {"text": text, "label": label, "probability": p} for text, label, p in why.clauses
            ],
        }


def current_models(workspace: Workspace, log: Log) -> Classifier:
    """Return the models that answer now: the local snapshot, if any, and all examples since."""
    return ModelWorker(
        log, workspace.root / "models" / "snapshot", workspace.heads()
    ).fold.classifier()


def explain_record(
    workspace: Workspace,
    log: Log,
    warehouse: Warehouse,
    record: UUID,
    heads: Sequence[str],
    *,
    current: bool,
) -> list[HeadExplanation]:
    """Return why each head answered as it did, by the models that answered, or the `current` ones.

    If the models that answered cannot be rebuilt, the current ones explain, and a note says so.
    Raises UserError for a record that the history does not contain.
    """
    texts = labelled_texts(warehouse, [record])
    if record not in texts:
        raise UserError(
            f"the history contains no record {record}; list records with `switchboard query"
            " 'SELECT record_id, subject FROM communications'`"
        )
    recorded = {} if current else _recorded_versions(warehouse, record)
    rebuilt: dict[str, Classifier | None] = {}
    now: Classifier | None = None
    explained = []
    for head in heads:
        version, note = recorded.get(head, ""), ""
        if version and version not in rebuilt:
            rebuilt[version] = models_at_version(log, version, workspace.heads())
        models = rebuilt.get(version)
        if models is None:
            if version:
                note = (
                    f"the models of the answer ({version}) cannot be rebuilt: this explains the"
                    " current models"
                )
            models = now = now or current_models(workspace, log)
        explained.append(
            HeadExplanation(
                explain(models, texts[record].text, texts[record].direction)[head], note
            )
        )
    return explained


def _recorded_versions(warehouse: Warehouse, record: UUID) -> dict[str, str]:
    """Return the model version of the newest answer of each head about a record."""
    newest = rows(
        warehouse,
        "SELECT head, argMax(model_version, version) AS newest FROM prediction_rows FINAL"
        " WHERE record_id = {record:UUID} GROUP BY head",
        record=str(record),
    )
    return {row["head"]: row["newest"] for row in newest}
