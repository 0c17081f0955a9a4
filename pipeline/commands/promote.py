"""`evaluate --promote`: add the training rows of a labelled file to the examples of a head."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson

from pipeline.errors import UserError
from pipeline.log.contract_messages import encode_contract
from pipeline.log.port import Log
from pipeline.models.evaluation.evaluate import PromotionResult
from pipeline.models.evaluation.labelled_rows import LabelledRow
from pipeline.models.evaluation.results import Contender
from pipeline.models.heads import Head
from pipeline.processors.clean.language import detect_language
from pipeline.processors.redact import redact_text
from pipeline.text.normal_form import READ_CHARACTERS
from schemas.envelope import stable_id
from schemas.labels import Example, Promotion
from schemas.topics import EXAMPLES

# Examples are short: so many are a few MiB.
_SCAN_RECORDS = 1_000


class PromotionError(UserError):
    """A promotion is impossible; the message says why."""


def promote(
    log: Log, head: Head, rows: Sequence[LabelledRow], winner: Contender, now: datetime
) -> PromotionResult:
    """Append the rows to the examples log as labels of a head, after one promotion event.

    Texts are redacted like records, and cut to the length that models read. A text and label of an
    earlier promotion is not added again, so a repeated command adds nothing twice. Everything is
    written in one transaction. Raises PromotionError for a label that the head does not have.
    """
    unknown = sorted({row.label for row in rows} - set(head.labels))
    if unknown:
        raise PromotionError(
            f"{', '.join(unknown)}: not labels of {head.name}; its labels are"
            f" {', '.join(head.labels)}"
        )
    wanted = {example.label_id: example for example in (_example(head, row, now) for row in rows)}
    known = _label_ids(log)
    fresh = [example for label_id, example in wanted.items() if label_id not in known]
    already = len(wanted) - len(fresh)
    if not fresh:
        return PromotionResult("", head.name, winner.name, 0, already)
    promotion = Promotion(
        promotion_id=stable_id(
            "promotion", head.name, *(str(example.label_id) for example in fresh)
        ),
        head=head.name,
        model=winner.name,
        examples=len(fresh),
        macro_f1=winner.cross_validated,
        promoted_at=now,
    )
    name = f"promotion/{promotion.promotion_id}"
    if log.checkpoint(name) is not None:
        # Sent, but still in the spool, because the broker was unreachable.
        return PromotionResult("", head.name, winner.name, 0, len(wanted))
    with log.transaction() as transaction:
        transaction.produce(
            [encode_contract(EXAMPLES.name, "", contract) for contract in (promotion, *fresh)]
        )
        transaction.checkpoint(name, now.isoformat().encode())
    return PromotionResult(str(promotion.promotion_id), head.name, winner.name, len(fresh), already)


def _example(head: Head, row: LabelledRow, now: datetime) -> Example:
    text = redact_text(row.text)[:READ_CHARACTERS]
    return Example(
        label_id=stable_id("promoted", head.name, row.label, text),
        # There is no record of it; the same text with another label is its correction.
        record_id=stable_id("promoted", text),
        head=head.name,
        value=row.label,
        source="import",
        weight=row.weight,
        text=text,
        language=row.language or detect_language(row.text).code,
        channel=row.channel,
        direction=row.direction,
        labelled_at=now,
    )


def _label_ids(log: Log) -> set[UUID]:
    found: set[UUID] = set()
    start = 0
    while records := log.scan(EXAMPLES.name, 0, start, _SCAN_RECORDS):
        events = (orjson.loads(record.value) for record in records)
        found |= {UUID(event["label_id"]) for event in events if event.get("kind") == "example"}
        start = records[-1].offset + 1
    return found
