"""`evaluate --promote`: a labelled file's training rows become examples of a head, so that its
online model starts warm.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson

from pipeline.envelope import contract_message
from pipeline.errors import UserError
from pipeline.log.port import Log
from pipeline.models.evaluation.evaluate import Promoted
from pipeline.models.evaluation.labelled_rows import Row
from pipeline.models.evaluation.results import Contender
from pipeline.models.heads import Head
from pipeline.processors.clean.language import detect_language
from pipeline.processors.redact import redact_text
from pipeline.text.normal_form import READ_CHARACTERS
from schemas.envelope import stable_id
from schemas.labels import Example, Promotion
from schemas.topics import EXAMPLES

# Examples are short: this many are a few MiB.
_SCAN_RECORDS = 1_000


class PromotionError(UserError):
    """A promotion cannot be made; the message says why."""


def promote(
    log: Log, head: Head, rows: Sequence[Row], winner: Contender, now: datetime
) -> Promoted:
    """Append the rows to the examples log as labels of a head, in their order, after one event that
    says why they came.

    Texts are redacted as the pipeline's records are, and cut to what models read. A text and value
    that the log has from an earlier promotion is not added again, so the same command twice, or
    after a crash, adds nothing twice. All is written in one transaction. Raises PromotionError for
    a label that is not the head's.
    """
    strangers = sorted({row.label for row in rows} - set(head.labels))
    if strangers:
        raise PromotionError(
            f"{', '.join(strangers)}: no labels of {head.name}; labels are {', '.join(head.labels)}"
        )
    wanted = {example.label_id: example for example in (_example(head, row, now) for row in rows)}
    known = _label_ids(log)
    fresh = [example for label_id, example in wanted.items() if label_id not in known]
    already = len(wanted) - len(fresh)
    if not fresh:
        return Promoted("", head.name, winner.name, 0, already)
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
        # Sent, but not on the log yet: it waits in the spool for a broker that was away.
        return Promoted("", head.name, winner.name, 0, len(wanted))
    with log.transaction() as transaction:
        transaction.produce(
            [contract_message(EXAMPLES.name, "", contract) for contract in (promotion, *fresh)]
        )
        transaction.checkpoint(name, now.isoformat().encode())
    return Promoted(str(promotion.promotion_id), head.name, winner.name, len(fresh), already)


def _example(head: Head, row: Row, now: datetime) -> Example:
    text = redact_text(row.text)[:READ_CHARACTERS]
    return Example(
        label_id=stable_id("promoted", head.name, row.label, text),
        # No record of the history stands behind it; the same text with another label is a
        # correction of it.
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
