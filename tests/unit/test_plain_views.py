"""Views in plain SQL: what the reference page shows of them, and what it refuses."""

from __future__ import annotations

import pytest

from schemas.columns import DeclarationError
from schemas.migrations import migration_texts
from schemas.plain_views import plain_views

_VIEW = """-- Voicemails.

CREATE VIEW IF NOT EXISTS voicemails
(
    record_id UUID COMMENT 'Record; of the caller''s voicemail',
    scores Map(String, Decimal(18, 2)) COMMENT 'Scores (0, 1) by name'
)
AS SELECT record_id, map('a;b', 1) AS scores FROM communications
COMMENT 'Voicemails; one row per record';
"""


def test_a_view_in_plain_sql_has_its_columns_types_and_comments() -> None:
    (view,) = plain_views({"0099_voicemails.sql": _VIEW}).values()
    assert (view.name, view.comment) == ("voicemails", "Voicemails; one row per record")
    assert view.columns == (
        ("record_id", "UUID", "Record; of the caller's voicemail"),
        ("scores", "Map(String, Decimal(18, 2))", "Scores (0, 1) by name"),
    )


def test_the_last_definition_counts_and_a_dropped_view_is_gone() -> None:
    later = _VIEW.replace("IF NOT EXISTS ", "").replace("CREATE", "CREATE OR REPLACE")
    later = later.replace("Scores (0, 1)", "Shares")
    files = {"0099_a.sql": _VIEW, "0100_b.sql": later}
    assert plain_views(files)["voicemails"].columns[1][2] == "Shares by name"
    assert plain_views(files | {"0101_c.sql": "DROP VIEW IF EXISTS voicemails;"}) == {}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("COMMENT 'Voicemails; one row per record'", "", "the view voicemails is not on the"),
        (" COMMENT 'Scores (0, 1) by name'", "", "the column voicemails.scores has no COMMENT"),
        (_VIEW[_VIEW.index("(\n") : _VIEW.index("AS SELECT")], "", "its columns as (name Type"),
    ],
)
def test_a_view_without_comments_is_refused_by_name(old: str, new: str, sentence: str) -> None:
    with pytest.raises(DeclarationError, match=r"0099_voicemails\.sql") as error:
        plain_views({"0099_voicemails.sql": _VIEW.replace(old, new)})
    assert sentence in str(error.value)


def test_a_view_with_parameters_has_the_remark_above_it() -> None:
    (view,) = plain_views(migration_texts()).values()
    assert (view.name, view.columns) == ("customer_history", ())
    assert "SELECT * FROM customer_history(customer_ids = " in view.comment
