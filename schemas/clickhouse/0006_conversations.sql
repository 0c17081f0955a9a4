-- Conversations, their facts, follow-ups and record flags, as converse tells them; joined over contact points and linked threads.

{{ table("conversation_rows") }}

{{ table("conversation_fact_rows") }}

{{ table("followup_rows") }}

{{ table("record_flag_rows") }}

CREATE VIEW IF NOT EXISTS conversation_links
{{ columns("conversation_links") }}
AS WITH told AS
(
    SELECT conversation_id, argMin(assumeNotNull(merged_into), toString(assumeNotNull(merged_into))) AS into
    FROM conversation_rows FINAL
    WHERE NOT retracted AND merged_into IS NOT NULL
    GROUP BY conversation_id
)
SELECT
    near.conversation_id AS conversation_id,
    if(empty(far.into), near.into, far.into) AS canonical_id
FROM told AS near
LEFT JOIN told AS far ON near.into = far.conversation_id
{{ comment("conversation_links") }};

CREATE VIEW IF NOT EXISTS conversation_facts
{{ columns("conversation_facts") }}
AS {{ select("conversation_facts", alias="fact",
    conversation_id="coalesce(joined.canonical_id, fact.conversation_id)",
    thread_id="fact.conversation_id",
    person_id="coalesce(person.person_id, fact.customer_id)") }}
FROM conversation_fact_rows AS fact FINAL
LEFT JOIN (SELECT toNullable(conversation_id) AS conversation_id, toNullable(canonical_id) AS canonical_id FROM conversation_links) AS joined ON fact.conversation_id = joined.conversation_id
LEFT JOIN (SELECT toNullable(customer_id) AS customer_id, toNullable(person_id) AS person_id FROM people) AS person ON fact.customer_id = person.customer_id
WHERE NOT fact.retracted
{{ comment("conversation_facts") }};

{{ view("record_flags") }}

CREATE VIEW IF NOT EXISTS followups
{{ columns("followups") }}
AS WITH
    told AS
    (
        SELECT
            followup.followup_id AS followup_id,
            followup.kind AS kind,
            followup.way AS way,
            followup.tenant AS tenant,
            assumeNotNull(coalesce(joined.canonical_id, followup.conversation_id)) AS conversation_id,
            followup.conversation_id AS thread_id,
            followup.customer_id AS customer_id,
            coalesce(person.person_id, followup.customer_id) AS person_id,
            followup.contact AS contact,
            followup.channel AS channel,
            followup.record_id AS record_id,
            followup.staff AS staff,
            followup.phrase AS phrase,
            followup.promised_at AS promised_at,
            followup.due_at AS due_at,
            followup.due_stated AS due_stated,
            followup.counts_from AS counts_from,
            followup.fulfilled_at AS told_at,
            followup.fulfilled_by AS told_by,
            toString(coalesce(person_id, conversation_id)) AS whom
        FROM followup_rows AS followup FINAL
        LEFT JOIN (SELECT conversation_id AS linked_id, toNullable(canonical_id) AS canonical_id FROM conversation_links) AS joined ON followup.conversation_id = joined.linked_id
        LEFT JOIN (SELECT toNullable(customer_id) AS customer_id, toNullable(person_id) AS person_id FROM people) AS person ON followup.customer_id = person.customer_id
        WHERE NOT followup.retracted
    ),
    ours AS
    (
        SELECT arrayJoin(arrayDistinct([toString(coalesce(person_id, conversation_id)), toString(conversation_id)])) AS whom, occurred_at, record_id
        FROM conversation_facts
        WHERE kind = 'agent_message' AND actor = 'human' AND conversation_id IS NOT NULL
    ),
    seen AS
    (
        SELECT followup_id, min((answer.occurred_at, answer.record_id)) AS first
        FROM (SELECT followup_id, counts_from, arrayJoin(arrayDistinct([whom, toString(conversation_id)])) AS whom FROM told WHERE told_at IS NULL) AS waiting
        ASOF JOIN ours AS answer ON waiting.whom = answer.whom AND answer.occurred_at >= waiting.counts_from
        GROUP BY followup_id
    )
{{ select("followups", alias="told",
    fulfilled_at="coalesce(told.told_at, if(empty(seen.followup_id), NULL, seen.first.1))",
    fulfilled_by="coalesce(told.told_by, if(empty(seen.followup_id), NULL, seen.first.2))",
    state="multiIf(fulfilled_at IS NULL AND told.due_at < now64(3, 'UTC'), 'overdue', fulfilled_at IS NULL, 'open', fulfilled_at <= told.due_at, 'kept', 'kept_late')") }}
FROM told
LEFT JOIN seen ON told.followup_id = seen.followup_id
{{ comment("followups") }};
