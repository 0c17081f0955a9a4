{% from "_history.sql" import history_select %}
-- The maps of answers have the answers of all heads.

{{ replace_view("communications") }}

CREATE OR REPLACE VIEW history
{{ columns("history") }}
AS {{ history_select(number) }}
{{ comment("history") }};

CREATE OR REPLACE VIEW customer_history
AS {{ history_select(number, indexed=true) }};

{{ set_comments() }}
