-- Metrics of service, one definition each, as views over the facts: what is not there is null, never 0 (docs/guide, reference §3).

CREATE VIEW IF NOT EXISTS conversation_steps
(
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    conversation_id UUID COMMENT 'The conversation; linked threads are one',
    step UInt64 COMMENT 'Place in the conversation, from 1',
    episode UInt64 COMMENT 'Number of the episode, from 1: a new one begins with what a customer asks after a closing, or after seven quiet days in which nobody waited',
    begun_by LowCardinality(String) COMMENT 'opened: first of the conversation; reopened: after a closing; silence: after seven quiet days; empty: within an episode',
    fact_id UUID COMMENT 'The fact',
    kind LowCardinality(String) COMMENT 'customer_message, agent_message, assigned, closed',
    actor LowCardinality(String) COMMENT 'customer; human, bot or auto of ours; system',
    asks Bool COMMENT 'A customer''s message that is more than a bare thanks or ok',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When, UTC',
    business_s Nullable(Float64) COMMENT 'Business seconds since 1970-01-01; null: no business hours are set',
    customer_id Nullable(UUID) COMMENT 'The contact point''s customer',
    person_id Nullable(UUID) COMMENT 'The customer over all linked contact points',
    contact String COMMENT 'The contact point',
    channel LowCardinality(String) COMMENT 'Channel',
    record_id UUID COMMENT 'The record that shows it',
    staff String COMMENT 'Our person or bot',
    detail String COMMENT 'More of it',
    talk_s Nullable(Float64) COMMENT 'Seconds spoken in a call',
    first_response_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when a first message of this instant is promised an answer, UTC',
    next_response_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when a later message of this instant is promised an answer, UTC'
)
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
SELECT
    tenant,
    assumeNotNull(conversation_id) AS conversation_id,
    step,
    sum(begun_by != '') OVER (PARTITION BY conversation_id ORDER BY step ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS episode,
    begun_by,
    fact_id,
    kind,
    actor,
    asks,
    occurred_at,
    business_s,
    customer_id,
    person_id,
    contact,
    channel,
    record_id,
    staff,
    detail,
    talk_s,
    first_response_due_at,
    next_response_due_at
FROM beginning
COMMENT 'The facts that move conversations, over all their contact points and linked threads, in order, each in its episode';

CREATE VIEW IF NOT EXISTS exchanges
(
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    conversation_id UUID COMMENT 'The conversation; linked threads are one',
    episode UInt64 COMMENT 'Number of the episode',
    replier LowCardinality(String) COMMENT 'Whose reply: human, bot or auto; customers wait for a human until one replies or the conversation is closed, for a bot or an automatic reply only until anybody of ours writes',
    channel LowCardinality(String) COMMENT 'Channel of the first unanswered message',
    customer_id Nullable(UUID) COMMENT 'The contact point''s customer',
    person_id Nullable(UUID) COMMENT 'The customer over all linked contact points',
    contact String COMMENT 'The contact point',
    first Bool COMMENT 'The first exchange of its episode with this replier',
    waiting_since DateTime64(3, 'UTC') COMMENT 'First unanswered message, UTC',
    replied_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the reply came, UTC; null: not yet, or never',
    staff String COMMENT 'Who replied',
    closed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was closed without a reply, UTC',
    reply_s Nullable(Float64) COMMENT 'Seconds from the first unanswered message to the reply; null: none came',
    reply_business_s Nullable(Float64) COMMENT 'The same in business seconds; null: none came, or no business hours are set',
    due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when a human''s reply was promised, UTC; null: no promise',
    breached Nullable(Bool) COMMENT 'The promise was broken, as of now; null: no promise, or still in time'
)
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
SELECT
    tenant,
    conversation_id,
    episode,
    replier,
    channel,
    customer_id,
    person_id,
    contact,
    toBool(is_first) AS first,
    waiting_since,
    replied_at,
    staff,
    closed_at,
    dateDiff('millisecond', waiting_since, replied_at) / 1000 AS reply_s,
    replied_business_s - waiting_business_s AS reply_business_s,
    due_at,
    CAST(multiIf(due_at IS NULL, NULL, replied_at IS NOT NULL, replied_at > due_at, closed_at IS NOT NULL, NULL, now64(3, 'UTC') > due_at, true, NULL), 'Nullable(Bool)') AS breached
FROM ranked
COMMENT 'One row a turn of the customer: since when it waits, who replied and when; the reply time of the reference, told apart by human, bot and automatic';

CREATE VIEW IF NOT EXISTS episodes
(
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    conversation_id UUID COMMENT 'The conversation; linked threads are one',
    episode UInt64 COMMENT 'Number of the episode',
    channel LowCardinality(String) COMMENT 'Channel of its first fact',
    customer_id Nullable(UUID) COMMENT 'The contact point''s customer',
    person_id Nullable(UUID) COMMENT 'The customer over all linked contact points',
    contact String COMMENT 'The contact point',
    begun_by LowCardinality(String) COMMENT 'opened, reopened (after a closing) or silence (after seven quiet days)',
    opened_by LowCardinality(String) COMMENT 'Who spoke first: customer; human, bot or auto of ours',
    opened_at DateTime64(3, 'UTC') COMMENT 'First fact, UTC',
    last_at DateTime64(3, 'UTC') COMMENT 'Last fact, UTC',
    first_asked_at Nullable(DateTime64(3, 'UTC')) COMMENT 'First message of the customer that asks for something, UTC',
    handoff_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When a conversation that a bot held was given to a person, UTC',
    first_human_at Nullable(DateTime64(3, 'UTC')) COMMENT 'First answer of a person of ours to it, UTC',
    first_human_staff String COMMENT 'Who that was',
    first_response_s Nullable(Float64) COMMENT 'Seconds from the first message, or from the bot''s hand-off, to the first answer of a person; null: none yet',
    first_response_business_s Nullable(Float64) COMMENT 'The same in business seconds',
    first_bot_s Nullable(Float64) COMMENT 'Seconds from the first message to a bot''s first answer; null: none',
    first_auto_s Nullable(Float64) COMMENT 'Seconds from the first message to the first automatic answer; null: none',
    first_response_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when the first answer of a person was promised, UTC',
    first_response_breached Nullable(Bool) COMMENT 'That promise was broken, as of now; null: no promise, or still in time',
    waiting_since Nullable(DateTime64(3, 'UTC')) COMMENT 'First message that no person has answered, UTC; null: nobody waits',
    next_response_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when what waits is promised an answer, UTC',
    closed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was last closed, UTC: by an event, or by silence at its last fact; null: it goes on',
    closed_by LowCardinality(String) COMMENT 'event; silence: nobody waits and nobody has spoken for seven days, as of now; empty: it goes on',
    resolution_first_s Nullable(Float64) COMMENT 'Seconds from its opening to the first closing by an event; null: none',
    resolution_s Nullable(Float64) COMMENT 'Seconds from its opening to the last closing by an event; null: none',
    resolution_business_s Nullable(Float64) COMMENT 'The same in business seconds',
    handle_s Nullable(Float64) COMMENT 'Seconds from assignment, else from the first human message, to the last closing by an event; null: not closed, or nobody handled it',
    handle_business_s Nullable(Float64) COMMENT 'The same in business seconds',
    talk_s Nullable(Float64) COMMENT 'Seconds spoken in calls; null: none was answered',
    customer_messages UInt64 COMMENT 'Messages of the customer, bare thanks included',
    human_messages UInt64 COMMENT 'Messages of persons of ours',
    bot_messages UInt64 COMMENT 'Messages of bots',
    auto_messages UInt64 COMMENT 'Automatic messages',
    missed_calls UInt64 COMMENT 'Calls of the customer in vain',
    staff Array(String) COMMENT 'Persons of ours who spoke',
    reopened Nullable(Bool) COMMENT 'It was reopened after its closing; null: no event closed it',
    one_touch Nullable(Bool) COMMENT 'Closed by an event, one human message, not reopened; null: no event closed it'
)
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
SELECT
    tenant,
    conversation_id,
    episode,
    channel,
    customer_id,
    person_id,
    contact,
    begun_by,
    opened_by,
    opened_at,
    last_at,
    first_asked_at,
    handoff_at,
    first_human_at,
    if(empty(answers), '', answers[1].4) AS first_human_staff,
    dateDiff('millisecond', greatest(assumeNotNull(first_asked_at), coalesce(handoff_at, assumeNotNull(first_asked_at))), first_human_at) / 1000 AS first_response_s,
    if(empty(answers), NULL, answers[1].3.1) - if(handoff_at > first_asked_at, handoffs[1].3.1, asked_business_s) AS first_response_business_s,
    if(empty(bot_answers), NULL, dateDiff('millisecond', first_asked_at, bot_answers[1].2) / 1000) AS first_bot_s,
    if(empty(auto_answers), NULL, dateDiff('millisecond', first_asked_at, auto_answers[1].2) / 1000) AS first_auto_s,
    if(asked_step IS NULL, NULL, first_due_at) AS first_response_due_at,
    CAST(multiIf(first_response_due_at IS NULL, NULL, first_human_at IS NOT NULL, first_human_at > first_response_due_at, event_closed_at IS NOT NULL, NULL, now64(3, 'UTC') > first_response_due_at, true, NULL), 'Nullable(Bool)') AS first_response_breached,
    if(empty(waiting), NULL, waiting[1].2) AS waiting_since,
    if(empty(waiting) OR empty(answers), NULL, waiting[1].3.1) AS next_response_due_at,
    multiIf(event_closed_at IS NOT NULL, event_closed_at, closed_by = 'silence', last_spoken_at, NULL) AS closed_at,
    multiIf(event_closed_at IS NOT NULL, 'event', empty(waiting) AND last_spoken_at > toDateTime64(0, 3, 'UTC') AND last_spoken_at + INTERVAL 7 DAY < now64(3, 'UTC'), 'silence', '') AS closed_by,
    dateDiff('millisecond', opened_at, first_closed_at) / 1000 AS resolution_first_s,
    dateDiff('millisecond', opened_at, event_closed_at) / 1000 AS resolution_s,
    if(event_closed_at IS NULL, NULL, closed_business_s - opened_business_s) AS resolution_business_s,
    if(event_closed_at >= handled_from, dateDiff('millisecond', handled_from, event_closed_at) / 1000, NULL) AS handle_s,
    if(event_closed_at >= handled_from, closed_business_s - handled_from_business_s, NULL) AS handle_business_s,
    talk_s,
    customer_messages,
    length(humans) AS human_messages,
    length(bots) AS bot_messages,
    length(autos) AS auto_messages,
    missed_calls,
    arraySort(arrayDistinct(arrayFilter(x -> x != '', arrayMap(x -> x.4, humans)))) AS staff,
    CAST(if(event_closed_at IS NULL, NULL, next_begun_by = 'reopened'), 'Nullable(Bool)') AS reopened,
    CAST(if(event_closed_at IS NULL, NULL, length(humans) = 1 AND next_begun_by != 'reopened'), 'Nullable(Bool)') AS one_touch
FROM answered
COMMENT 'Conversations from opening to closing, one row an episode, with the service metrics of the reference; what did not happen is null';

CREATE VIEW IF NOT EXISTS conversations
(
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    conversation_id UUID COMMENT 'The conversation; linked threads are one',
    customer_id Nullable(UUID) COMMENT 'The contact point''s customer',
    person_id Nullable(UUID) COMMENT 'The customer over all linked contact points',
    contact String COMMENT 'The contact point',
    channel LowCardinality(String) COMMENT 'Channel of its first fact',
    subject String COMMENT 'Subject of its first record',
    state LowCardinality(String) COMMENT 'waiting: the customer waits for a person; answered: a person of ours spoke last; open: neither; closed: by an event or by silence; as of now',
    opened_at DateTime64(3, 'UTC') COMMENT 'First fact, UTC',
    last_at DateTime64(3, 'UTC') COMMENT 'Last fact, UTC',
    waiting_since Nullable(DateTime64(3, 'UTC')) COMMENT 'First message that no person has answered, UTC',
    due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when what waits is promised an answer, UTC; null: no promise',
    breached Bool COMMENT 'That promise is broken, as of now',
    closed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was closed, UTC; null: it is not',
    closed_by LowCardinality(String) COMMENT 'event, silence or empty',
    episodes UInt64 COMMENT 'Times it was opened',
    reopenings UInt64 COMMENT 'Times a customer wrote after a closing by an event',
    first_response_s Nullable(Float64) COMMENT 'Seconds to the first answer of a person, in its first episode',
    resolution_first_s Nullable(Float64) COMMENT 'Seconds from its opening to the first closing by an event',
    resolution_last_s Nullable(Float64) COMMENT 'Seconds from its opening to the last closing by an event; null where it is not closed so now',
    customer_messages UInt64 COMMENT 'Messages of the customer',
    human_messages UInt64 COMMENT 'Messages of persons of ours',
    bot_messages UInt64 COMMENT 'Messages of bots',
    auto_messages UInt64 COMMENT 'Automatic messages',
    talk_s Nullable(Float64) COMMENT 'Seconds spoken in calls',
    last_staff Array(String) COMMENT 'Persons of ours in its last episode',
    rating_index Nullable(Float64) COMMENT 'Last rating given for it, 0 to 100'
)
AS SELECT
    whole.tenant AS tenant,
    whole.conversation_id AS conversation_id,
    whole.customer_id AS customer_id,
    whole.person_id AS person_id,
    whole.contact AS contact,
    whole.channel AS channel,
    titles.subject AS subject,
    multiIf(latest.closed_by != '', 'closed', latest.waiting_since IS NOT NULL, 'waiting', latest.human_messages > 0, 'answered', 'open') AS state,
    whole.opened_at AS opened_at,
    whole.last_at AS last_at,
    latest.waiting_since AS waiting_since,
    if(latest.waiting_since IS NULL, NULL, if(latest.first_human_at IS NULL, latest.first_response_due_at, latest.next_response_due_at)) AS due_at,
    toBool(coalesce(due_at < now64(3, 'UTC'), false)) AS breached,
    latest.closed_at AS closed_at,
    latest.closed_by AS closed_by,
    whole.episodes AS episodes,
    whole.reopenings AS reopenings,
    whole.first_response_s AS first_response_s,
    dateDiff('millisecond', whole.opened_at, whole.resolved_at) / 1000 AS resolution_first_s,
    if(latest.closed_by = 'event', dateDiff('millisecond', whole.opened_at, latest.closed_at) / 1000, NULL) AS resolution_last_s,
    whole.customer_messages AS customer_messages,
    whole.human_messages AS human_messages,
    whole.bot_messages AS bot_messages,
    whole.auto_messages AS auto_messages,
    whole.talk_s AS talk_s,
    latest.staff AS last_staff,
    ratings.rating_index AS rating_index
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
COMMENT 'One row a conversation over all its contact points and linked threads, as of now';

CREATE VIEW IF NOT EXISTS backlog_daily
(
    day Date COMMENT 'Day in UTC',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    channel LowCardinality(String) COMMENT 'Channel',
    opened UInt64 COMMENT 'Episodes that began',
    reopened UInt64 COMMENT 'Of them, after a closing by an event',
    closed UInt64 COMMENT 'Episodes that ended',
    net Int64 COMMENT 'Opened less closed: the flow',
    backlog Int64 COMMENT 'Open at the end of the day: the stock'
)
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
COMMENT 'Open conversations day by day: the stock, and the flow beside it; days on which nothing moved have no row';

CREATE VIEW IF NOT EXISTS reply_times_daily
(
    day Date COMMENT 'Day of the reply in UTC',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    channel LowCardinality(String) COMMENT 'Channel',
    replier LowCardinality(String) COMMENT 'human, bot or auto',
    first Bool COMMENT 'First replies of episodes; false: later ones',
    replies UInt64 COMMENT 'How many',
    median_s Nullable(Float64) COMMENT 'Median reply time, seconds',
    p90_s Nullable(Float64) COMMENT 'Nine of ten replies were at least as fast, seconds',
    median_business_s Nullable(Float64) COMMENT 'The median in business seconds; null: no business hours are set',
    p90_business_s Nullable(Float64) COMMENT 'The ninth decile in business seconds',
    promised UInt64 COMMENT 'Replies that were promised by a time',
    kept UInt64 COMMENT 'Of them, in time'
)
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
COMMENT 'Reply times by the day of the reply, human, bot and automatic told apart; for other zones or periods ask exchanges';

CREATE VIEW IF NOT EXISTS csat_daily
(
    day Date COMMENT 'Day of the rating in UTC',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    channel LowCardinality(String) COMMENT 'Where it was given',
    ratings UInt64 COMMENT 'How many',
    mean_index Float64 COMMENT 'Mean of the ratings on 0 to 100',
    satisfied UInt64 COMMENT 'Ratings of 75 and more: 4 and 5 of 5',
    csat Float64 COMMENT 'Their share, 0 to 1'
)
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
COMMENT 'Satisfaction by the day of the rating; days without ratings have no row, never 0';
