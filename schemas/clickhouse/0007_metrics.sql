-- Metrics of service, one definition each, as views over the facts: what is not there is null, never 0 (docs/guide, reference §3).

CREATE VIEW IF NOT EXISTS conversation_steps
{{ columns("conversation_steps") }}
AS WITH
    moving AS
    (
        SELECT
            tenant, conversation_id, fact_id, kind, actor, occurred_at, business_s, customer_id, person_id, contact, channel, record_id, staff, detail, talk_s, first_response_due_at, next_response_due_at,
            toBool(kind = 'customer_message' AND detail != 'courtesy') AS asks,
            row_number() OVER (PARTITION BY conversation_id ORDER BY occurred_at, toString(record_id), indexOf(['customer_message', 'agent_message', 'assigned', 'closed'], kind)) AS step
        FROM conversation_facts
        WHERE kind IN ('customer_message', 'agent_message', 'assigned', 'closed') AND conversation_id IS NOT NULL
    ),
    looking_back AS
    (
        SELECT
            *,
            max(if(asks, step, 0)) OVER before AS last_asked,
            max(if(actor = 'human' AND kind = 'agent_message', step, 0)) OVER before AS last_answered,
            max(if(kind = 'closed', step, 0)) OVER before AS last_closed,
            max(if(kind IN ('customer_message', 'agent_message') AND actor IN ('customer', 'human'), occurred_at, toDateTime64(0, 3, 'UTC'))) OVER before AS last_spoken_at
        FROM moving
        WINDOW before AS (PARTITION BY conversation_id ORDER BY step ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ),
    beginning AS
    (
        SELECT
            *,
            multiIf(
                step = 1, 'opened',
                asks AND last_closed > last_asked, 'reopened',
                asks AND last_spoken_at > toDateTime64(0, 3, 'UTC') AND last_spoken_at + INTERVAL 7 DAY < occurred_at AND last_asked <= greatest(last_answered, last_closed), 'silence',
                ''
            ) AS begun_by
        FROM looking_back
    )
{{ select("conversation_steps",
    conversation_id="assumeNotNull(conversation_id)",
    episode="sum(begun_by != '') OVER (PARTITION BY conversation_id ORDER BY step ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)") }}
FROM beginning
{{ comment("conversation_steps") }};

CREATE VIEW IF NOT EXISTS exchanges
{{ columns("exchanges") }}
AS WITH
    lanes AS
    (
        SELECT
            *,
            arrayJoin(['human', 'bot', 'auto']) AS replier,
            kind = 'closed' OR (kind = 'agent_message' AND (actor = 'human' OR replier != 'human')) AS ends
        FROM conversation_steps
        WHERE asks OR kind IN ('agent_message', 'closed')
    ),
    turns AS
    (
        SELECT
            *,
            sum(ends) OVER (PARTITION BY conversation_id, replier ORDER BY step ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS turn
        FROM lanes
        WHERE asks OR ends
    ),
    exchanged AS
    (
        SELECT
            any(tenant) AS tenant,
            conversation_id,
            replier,
            turn,
            argMinIf(episode, step, asks) AS episode,
            argMinIf(channel, step, asks) AS channel,
            argMinIf(customer_id, step, asks) AS customer_id,
            argMinIf(person_id, step, asks) AS person_id,
            argMinIf(contact, step, asks) AS contact,
            argMinIf(occurred_at, step, asks) AS waiting_since,
            argMinIf(tuple(business_s), step, asks).1 AS waiting_business_s,
            argMinIf(tuple(first_response_due_at), step, asks).1 AS first_due_at,
            argMinIf(tuple(next_response_due_at), step, asks).1 AS next_due_at,
            minOrNullIf(occurred_at, actor = replier AND kind = 'agent_message') AS replied_at,
            minOrNullIf(business_s, actor = replier AND kind = 'agent_message') AS replied_business_s,
            anyIf(staff, actor = replier AND kind = 'agent_message') AS staff,
            minOrNullIf(occurred_at, kind = 'closed') AS closed_at
        FROM turns
        GROUP BY conversation_id, replier, turn
        HAVING countIf(asks) > 0
    ),
    ranked AS
    (
        SELECT
            *,
            row_number() OVER (PARTITION BY conversation_id, replier, episode ORDER BY turn) = 1 AS is_first,
            if(replier != 'human', NULL, if(is_first, first_due_at, next_due_at)) AS due_at
        FROM exchanged
        WHERE replied_at IS NOT NULL OR replier = 'human'
    )
{{ select("exchanges",
    first="toBool(is_first)",
    reply_s="dateDiff('millisecond', waiting_since, replied_at) / 1000",
    reply_business_s="replied_business_s - waiting_business_s",
    breached="CAST(multiIf(due_at IS NULL, NULL, replied_at IS NOT NULL, replied_at > due_at, closed_at IS NOT NULL, NULL, now64(3, 'UTC') > due_at, true, NULL), 'Nullable(Bool)')") }}
FROM ranked
{{ comment("exchanges") }};

CREATE VIEW IF NOT EXISTS episodes
{{ columns("episodes") }}
AS WITH
    summed AS
    (
        SELECT
            any(tenant) AS tenant,
            conversation_id,
            episode,
            argMin(channel, step) AS channel,
            argMinIf(customer_id, step, customer_id IS NOT NULL) AS customer_id,
            argMinIf(person_id, step, person_id IS NOT NULL) AS person_id,
            argMinIf(contact, step, contact != '') AS contact,
            argMin(conversation_steps.begun_by, step) AS begun_by,
            argMinIf(actor, step, kind IN ('customer_message', 'agent_message')) AS opened_by,
            min(occurred_at) AS opened_at,
            argMin(tuple(business_s), step).1 AS opened_business_s,
            max(occurred_at) AS last_at,
            minOrNullIf(step, asks) AS asked_step,
            minOrNullIf(occurred_at, asks) AS first_asked_at,
            argMinIf(tuple(business_s), step, asks).1 AS asked_business_s,
            argMinIf(tuple(conversation_steps.first_response_due_at), step, asks).1 AS first_due_at,
            groupArrayIf((step, occurred_at, tuple(business_s), conversation_steps.staff), kind = 'agent_message' AND actor = 'human') AS humans,
            groupArrayIf((step, occurred_at), kind = 'agent_message' AND actor = 'bot') AS bots,
            groupArrayIf((step, occurred_at), kind = 'agent_message' AND actor = 'auto') AS autos,
            groupArrayIf((step, occurred_at, tuple(business_s)), kind = 'assigned') AS assignments,
            groupArrayIf((step, occurred_at, tuple(next_response_due_at)), asks) AS asked,
            maxIf(step, kind = 'closed') AS closed_step,
            minOrNullIf(occurred_at, kind = 'closed') AS first_closed_at,
            maxOrNullIf(occurred_at, kind = 'closed') AS event_closed_at,
            argMaxIf(tuple(business_s), step, kind = 'closed').1 AS closed_business_s,
            maxIf(occurred_at, kind IN ('customer_message', 'agent_message') AND actor IN ('customer', 'human')) AS last_spoken_at,
            sumOrNull(conversation_steps.talk_s) AS talk_s,
            countIf(kind = 'customer_message') AS customer_messages,
            countIf(kind = 'customer_message' AND detail = 'call_missed') AS missed_calls
        FROM conversation_steps
        GROUP BY conversation_id, episode
    ),
    sorted AS
    (
        SELECT
            *,
            arraySort(x -> x.1, arrayFilter(x -> x.1 > asked_step, humans)) AS answers,
            arraySort(x -> x.1, assignments) AS given,
            arraySort(x -> x.1, arrayFilter(x -> x.1 > asked_step, bots)) AS bot_answers,
            arraySort(x -> x.1, arrayFilter(x -> x.1 > asked_step, autos)) AS auto_answers,
            greatest(closed_step, arrayMax(x -> x.1, arrayPushBack(humans, (toUInt64(0), opened_at, tuple(NULL), '')))) AS settled_step,
            arraySort(x -> x.1, arrayFilter(x -> x.1 > settled_step, asked)) AS waiting
        FROM summed
    ),
    answered AS
    (
        SELECT
            *,
            if(empty(answers), NULL, answers[1].2) AS first_human_at,
            if(empty(bots), [], arrayFilter(x -> x.1 > arrayMin(y -> y.1, bots) AND (empty(answers) OR x.1 < answers[1].1), given)) AS handoffs,
            if(empty(handoffs), NULL, handoffs[1].2) AS handoff_at,
            multiIf(notEmpty(given), given[1].2, notEmpty(humans), arrayMin(x -> x.2, humans), NULL) AS handled_from,
            multiIf(notEmpty(given), given[1].3.1, notEmpty(humans), arraySort(x -> x.1, humans)[1].3.1, NULL) AS handled_from_business_s,
            leadInFrame(begun_by) OVER (PARTITION BY conversation_id ORDER BY episode ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next_begun_by
        FROM sorted
    )
{{ select("episodes",
    first_human_staff="if(empty(answers), '', answers[1].4)",
    first_response_s="dateDiff('millisecond', greatest(assumeNotNull(first_asked_at), coalesce(handoff_at, assumeNotNull(first_asked_at))), first_human_at) / 1000",
    first_response_business_s="if(empty(answers), NULL, answers[1].3.1) - if(handoff_at > first_asked_at, handoffs[1].3.1, asked_business_s)",
    first_bot_s="if(empty(bot_answers), NULL, dateDiff('millisecond', first_asked_at, bot_answers[1].2) / 1000)",
    first_auto_s="if(empty(auto_answers), NULL, dateDiff('millisecond', first_asked_at, auto_answers[1].2) / 1000)",
    first_response_due_at="if(asked_step IS NULL, NULL, first_due_at)",
    first_response_breached="CAST(multiIf(first_response_due_at IS NULL, NULL, first_human_at IS NOT NULL, first_human_at > first_response_due_at, event_closed_at IS NOT NULL, NULL, now64(3, 'UTC') > first_response_due_at, true, NULL), 'Nullable(Bool)')",
    waiting_since="if(empty(waiting), NULL, waiting[1].2)",
    next_response_due_at="if(empty(waiting) OR empty(answers), NULL, waiting[1].3.1)",
    closed_at="multiIf(event_closed_at IS NOT NULL, event_closed_at, closed_by = 'silence', last_spoken_at, NULL)",
    closed_by="multiIf(event_closed_at IS NOT NULL, 'event', empty(waiting) AND last_spoken_at > toDateTime64(0, 3, 'UTC') AND last_spoken_at + INTERVAL 7 DAY < now64(3, 'UTC'), 'silence', '')",
    resolution_first_s="dateDiff('millisecond', opened_at, first_closed_at) / 1000",
    resolution_s="dateDiff('millisecond', opened_at, event_closed_at) / 1000",
    resolution_business_s="if(event_closed_at IS NULL, NULL, closed_business_s - opened_business_s)",
    handle_s="if(event_closed_at >= handled_from, dateDiff('millisecond', handled_from, event_closed_at) / 1000, NULL)",
    handle_business_s="if(event_closed_at >= handled_from, closed_business_s - handled_from_business_s, NULL)",
    human_messages="length(humans)",
    bot_messages="length(bots)",
    auto_messages="length(autos)",
    staff="arraySort(arrayDistinct(arrayFilter(x -> x != '', arrayMap(x -> x.4, humans))))",
    reopened="CAST(if(event_closed_at IS NULL, NULL, next_begun_by = 'reopened'), 'Nullable(Bool)')",
    one_touch="CAST(if(event_closed_at IS NULL, NULL, length(humans) = 1 AND next_begun_by != 'reopened'), 'Nullable(Bool)')") }}
FROM answered
{{ comment("episodes") }};

CREATE VIEW IF NOT EXISTS conversations
{{ columns("conversations") }}
AS {{ select("conversations", alias="whole",
    subject="titles.subject",
    state="multiIf(latest.closed_by != '', 'closed', latest.waiting_since IS NOT NULL, 'waiting', latest.human_messages > 0, 'answered', 'open')",
    waiting_since="latest.waiting_since",
    due_at="if(latest.waiting_since IS NULL, NULL, if(latest.first_human_at IS NULL, latest.first_response_due_at, latest.next_response_due_at))",
    breached="toBool(coalesce(due_at < now64(3, 'UTC'), false))",
    closed_at="latest.closed_at",
    closed_by="latest.closed_by",
    resolution_first_s="dateDiff('millisecond', whole.opened_at, whole.resolved_at) / 1000",
    resolution_last_s="if(latest.closed_by = 'event', dateDiff('millisecond', whole.opened_at, latest.closed_at) / 1000, NULL)",
    last_staff="latest.staff",
    rating_index="ratings.rating_index") }}
FROM
(
    SELECT
        any(part.tenant) AS tenant,
        conversation_id,
        argMinIf(part.customer_id, part.episode, part.customer_id IS NOT NULL) AS customer_id,
        argMinIf(part.person_id, part.episode, part.person_id IS NOT NULL) AS person_id,
        argMinIf(part.contact, part.episode, part.contact != '') AS contact,
        argMin(part.channel, part.episode) AS channel,
        min(part.opened_at) AS opened_at,
        max(part.last_at) AS last_at,
        count() AS episodes,
        countIf(part.begun_by = 'reopened') AS reopenings,
        argMin(tuple(part.first_response_s), part.episode).1 AS first_response_s,
        min(if(part.resolution_first_s IS NULL, NULL, part.opened_at + toIntervalMillisecond(round(part.resolution_first_s * 1000)))) AS resolved_at,
        sum(part.customer_messages) AS customer_messages,
        sum(part.human_messages) AS human_messages,
        sum(part.bot_messages) AS bot_messages,
        sum(part.auto_messages) AS auto_messages,
        sumOrNull(part.talk_s) AS talk_s
    FROM episodes AS part
    GROUP BY conversation_id
) AS whole
INNER JOIN
(
    SELECT conversation_id, waiting_since, first_human_at, first_response_due_at, next_response_due_at, closed_at, closed_by, human_messages, staff
    FROM episodes
    QUALIFY row_number() OVER (PARTITION BY conversation_id ORDER BY episode DESC) = 1
) AS latest ON whole.conversation_id = latest.conversation_id
LEFT JOIN
(
    SELECT assumeNotNull(coalesce(joined.canonical_id, part.conversation_id)) AS conversation_id, argMin(part.subject, part.opened_at) AS subject
    FROM conversation_rows AS part FINAL
    LEFT JOIN (SELECT conversation_id, toNullable(canonical_id) AS canonical_id FROM conversation_links) AS joined ON part.conversation_id = joined.conversation_id
    WHERE NOT part.retracted AND part.subject != ''
    GROUP BY conversation_id
) AS titles ON whole.conversation_id = titles.conversation_id
LEFT JOIN
(
    SELECT assumeNotNull(conversation_id) AS conversation_id, argMax(rating_index, occurred_at) AS rating_index
    FROM conversation_facts WHERE kind = 'rated' AND conversation_id IS NOT NULL GROUP BY conversation_id
) AS ratings ON whole.conversation_id = ratings.conversation_id
{{ comment("conversations") }};

CREATE VIEW IF NOT EXISTS backlog_daily
{{ columns("backlog_daily") }}
AS SELECT
    day,
    tenant,
    channel,
    countIf(step > 0) AS opened,
    countIf(step > 0 AND begun_by = 'reopened') AS reopened,
    countIf(step < 0) AS closed,
    sum(toInt64(step)) AS net,
    sum(net) OVER (PARTITION BY tenant, channel ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS backlog
FROM
(
    SELECT tenant, channel, begun_by, toDate(moved.1, 'UTC') AS day, moved.2 AS step
    FROM episodes
    ARRAY JOIN if(closed_at IS NULL, [(opened_at, 1)], [(opened_at, 1), (assumeNotNull(closed_at), -1)]) AS moved
)
GROUP BY day, tenant, channel
{{ comment("backlog_daily") }};

CREATE VIEW IF NOT EXISTS reply_times_daily
{{ columns("reply_times_daily") }}
AS SELECT
    toDate(assumeNotNull(replied_at), 'UTC') AS day,
    tenant,
    channel,
    replier,
    first,
    count() AS replies,
    quantileExactInclusiveOrNull(0.5)(reply_s) AS median_s,
    quantileExactInclusiveOrNull(0.9)(reply_s) AS p90_s,
    quantileExactInclusiveOrNull(0.5)(reply_business_s) AS median_business_s,
    quantileExactInclusiveOrNull(0.9)(reply_business_s) AS p90_business_s,
    countIf(due_at IS NOT NULL) AS promised,
    countIf(due_at IS NOT NULL AND NOT breached) AS kept
FROM exchanges
WHERE replied_at IS NOT NULL
GROUP BY day, tenant, channel, replier, first
{{ comment("reply_times_daily") }};

CREATE VIEW IF NOT EXISTS csat_daily
{{ columns("csat_daily") }}
AS SELECT
    toDate(occurred_at, 'UTC') AS day,
    tenant,
    channel,
    count() AS ratings,
    avg(assumeNotNull(rating_index)) AS mean_index,
    countIf(rating_index >= 75) AS satisfied,
    satisfied / ratings AS csat
FROM conversation_facts
WHERE kind = 'rated' AND rating_index IS NOT NULL
GROUP BY day, tenant, channel
{{ comment("csat_daily") }};
