{% from "_history.sql" import history_select %}
-- Heads of a team's own, messages that ask several things, and answers given later by other models.

{{ add_columns("communication_rows") }}

{{ add_columns("prediction_rows") }}

{{ table("reclassified_rows", "INDEX by_version version TYPE minmax GRANULARITY 1") }}

{{ replace_view("predictions") }}

{{ replace_view("communications") }}

CREATE OR REPLACE VIEW history
{{ columns("history") }}
AS {{ history_select(number) }}
{{ comment("history") }};

CREATE OR REPLACE VIEW customer_history
AS {{ history_select(number, indexed=true) }};
