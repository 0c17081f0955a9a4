-- Business events: orders, payments, refunds, feedback, complaints, profiles.

{{ table("business_event_rows") }}

{{ view("business_events") }}

CREATE VIEW IF NOT EXISTS complaints
{{ columns("complaints") }}
AS SELECT
    tenant,
    entity_id AS complaint_id,
    argMin(customer_id, occurred_at) AS customer_id,
    argMinIf(contact, occurred_at, contact != '') AS contact,
    argMaxIf(contact_name, occurred_at, contact_name != '') AS contact_name,
    argMaxIf(reason, occurred_at, reason != '') AS reason,
    argMax(action, (occurred_at, indexOf(['opened', 'handled', 'closed'], action))) AS stage,
    minOrNullIf(occurred_at, action = 'opened') AS opened_at,
    if(stage = 'closed', maxOrNullIf(occurred_at, action = 'closed'), NULL) AS closed_at,
    argMinIf(text, occurred_at, text != '') AS text,
    argMaxIf(handling, occurred_at, handling != '') AS handling,
    argMaxIf(result, occurred_at, result != '') AS result
FROM business_event_rows FINAL
WHERE kind = 'complaint'
GROUP BY tenant, entity_id
{{ comment("complaints") }};
