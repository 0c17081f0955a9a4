"""Free words in the enumerated fields of events, read as the CSV connectors read them."""

from __future__ import annotations

from typing import Any

from pipeline.ingest.business.cell_values import normalise_word, read_phrase
from pipeline.ingest.business.column_names import FEEDBACK_KINDS, REASONS, RESULTS

# Type of event, its fields, their words, and the value of unknown words.
_FIELDS: tuple[tuple[str, str, dict[str, str], str | None], ...] = (
    ("crm.complaint.", "reason", REASONS, "other"),
    ("crm.complaint.", "result", RESULTS, None),
    ("crm.feedback.", "kind", FEEDBACK_KINDS, None),
)
# Reasons are phrases; the words that decide are at their beginning.
_MAX_PHRASE = 1_000


def recognise_words(event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return an event's data with the values that free words mean; the words are kept beside.

    Unknown words of a reason are `other`; those of a result or a kind of feedback are no value.

    >>> recognise_words("crm.complaint.opened", {"reason": "迟迟不发货"})
    {'reason': 'delivery', 'reason_written': '迟迟不发货'}
    """
    for prefix, name, words, unknown in _FIELDS:
        text = data.get(name)
        if not event_type.startswith(prefix) or not isinstance(text, str) or not text.strip():
            continue
        if text not in words:
            value = read_phrase(text[:_MAX_PHRASE], words) or unknown
            written = {} if normalise_word(text) == value else {f"{name}_written": text}
            data = {**data, name: value, **written}
    return data
