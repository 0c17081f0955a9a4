"""Assessments: what was answered about an example before it was learnt, beside its label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pipeline.models.classifier import HeadPrediction
from pipeline.models.examples_fold import AppliedControl
from pipeline.models.examples_fold import FoldOutcome as Folded
from pipeline.models.replica import LearntExample, RefusalCode, RefusedEvent
from pipeline.outcomes import Drop, Outcome, Reject, emit
from schemas.dead_letters import RejectCode
from schemas.labels import Assessment
from schemas.registry import explain
from schemas.topics import QUALITY
from schemas.types import Contract

_CODES: Mapping[RefusalCode, RejectCode] = {
    "unknown_kind": RejectCode.UNKNOWN_TYPE,
    "unknown_head": RejectCode.UNKNOWN_LABEL,
    "unknown_value": RejectCode.UNKNOWN_LABEL,
    "fold_error": RejectCode.STEP_ERROR,
}
# Effects that change nothing: neither the label of the record nor an answer is new.
_NOTHING_NEW = frozenset({"outdated", "repeated"})


def assess(
    event: Mapping[str, Any],
    outcome: Folded,
    answer: HeadPrediction | None,
    generation: int,
    offset: int,
) -> Outcome[Contract]:
    """Return the outcome of a folded event of the examples log.

    It is an assessment for a new label, a drop if nothing is new, or a rejection.
    """
    if isinstance(outcome, RefusedEvent):
        return Reject(_CODES.get(outcome.code, RejectCode.SCHEMA_VALUE), outcome.detail, "learn")
    if isinstance(outcome, AppliedControl):
        return Drop(outcome.event.kind)
    if event.get("copied"):
        return Drop("copied")
    if outcome.effect in _NOTHING_NEW:
        return Drop(outcome.effect)
    served = answer or HeadPrediction("", 0.0, True, "", "rules")
    learnt = outcome if isinstance(outcome, LearntExample) else None
    try:
        assessment = Assessment(
            label_id=event["label_id"],
            tenant=event.get("tenant") or "default",
            record_id=event["record_id"],
            head=outcome.head,
            language=event.get("language") or "",
            channel=event.get("channel") or "",
            direction=event.get("direction") or "",
            value=outcome.value,
            origin=event["source"],
            labelled_at=event["labelled_at"],
            tested=outcome.effect == "first",
            answer=served.label,
            p=served.probability,
            abstained=served.abstained,
            answered_by=served.source if answer else "",
            model_version=served.version,
            model_guess=learnt.guess if learnt else "",
            rule_guess=learnt.rule if learnt else "",
            generation=generation,
            offset=offset,
        )
    except KeyError:
        return Drop("unnamed")
    except ValidationError as error:
        return Reject(*explain(error), "learn")
    return emit(assessment, QUALITY.name, str(assessment.record_id))
