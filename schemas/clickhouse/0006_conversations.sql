-- Conversations, their facts, follow-ups and record flags, as converse tells them; joined over contact points and linked threads.

CREATE TABLE IF NOT EXISTS conversation_rows
(
    part_id UUID COMMENT 'Hash of the conversation and the contact point',
    conversation_id UUID COMMENT 'The thread, as its records name it',
    merged_into Nullable(UUID) COMMENT 'The conversation it belongs to, where mails name one another across threads',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    customer_id Nullable(UUID) COMMENT 'The contact point''s customer; null where nothing tells it',
    contact String COMMENT 'The contact point, kind:value',
    channel LowCardinality(String) COMMENT 'Channel of its first record',
    subject String COMMENT 'Subject of its first record',
    state LowCardinality(String) COMMENT 'open, answered, waiting, closed, as of its last record and this contact point alone',
    opened_at DateTime64(3, 'UTC') COMMENT 'First record, UTC',
    opened_by LowCardinality(String) COMMENT 'Who began it: customer, human, bot, auto',
    last_at DateTime64(3, 'UTC') COMMENT 'Last record, UTC',
    last_customer_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Last message of the customer, UTC',
    last_human_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Last message of a person of ours, UTC',
    waiting_since Nullable(DateTime64(3, 'UTC')) COMMENT 'First unanswered message of the customer, UTC',
    first_response_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when the episode''s first message is to be answered, UTC',
    next_response_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when a later message is to be answered, UTC',
    closed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When an event closed it, UTC',
    episodes UInt32 COMMENT 'Times it was opened',
    retracted Bool COMMENT 'Told before, no longer holds; views leave it out',
    version UInt64 COMMENT 'Log time in ms * 2^20 + offset mod 2^20: the newest row wins'
)
ENGINE = ReplacingMergeTree(version) ORDER BY part_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Parts of conversations by contact point, as converse tells them; read conversations';

CREATE TABLE IF NOT EXISTS conversation_fact_rows
(
    fact_id UUID COMMENT 'Hash of kind and record',
    kind LowCardinality(String) COMMENT 'opened, customer_message, agent_message, promise, request, assigned, closed, reopened, rated, complaint_opened, complaint_handled, complaint_closed',
    actor LowCardinality(String) COMMENT 'customer; human, bot or auto of ours; system: the platform',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    conversation_id Nullable(UUID) COMMENT 'The thread, as its record names it',
    customer_id Nullable(UUID) COMMENT 'The contact point''s customer; null where nothing tells it',
    contact String COMMENT 'The contact point, kind:value',
    channel LowCardinality(String) COMMENT 'Channel',
    record_id UUID COMMENT 'The record that shows it',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When, UTC',
    business_s Nullable(Float64) COMMENT 'Business seconds since 1970-01-01: the difference of two facts is the business time between them; null: no business hours are set',
    staff String COMMENT 'Our person or bot in it',
    detail String COMMENT 'call_answered, call_missed, courtesy (a bare thanks or ok); what closed it; the follow-up''s way; the complaint''s number',
    talk_s Nullable(Float64) COMMENT 'Seconds spoken in a call',
    rating_index Nullable(Float64) COMMENT 'Rating on 0 to 100',
    first_response_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when a first message of this instant is promised an answer, UTC',
    next_response_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when a later message of this instant is promised an answer, UTC',
    retracted Bool COMMENT 'Told before, no longer holds; views leave it out',
    version UInt64 COMMENT 'Log time in ms * 2^20 + offset mod 2^20: the newest row wins'
)
ENGINE = ReplacingMergeTree(version) ORDER BY fact_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Rows behind conversation_facts';

CREATE TABLE IF NOT EXISTS followup_rows
(
    followup_id UUID COMMENT 'Hash of the record and the place of the sentence in it',
    kind LowCardinality(String) COMMENT 'promised by us or requested by the customer',
    way LowCardinality(String) COMMENT 'call: a telephone call; any: an answer by whatever way',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    conversation_id UUID COMMENT 'The thread, as its record names it',
    customer_id Nullable(UUID) COMMENT 'The contact point''s customer; null where nothing tells it',
    contact String COMMENT 'The contact point, kind:value',
    channel LowCardinality(String) COMMENT 'Channel',
    record_id UUID COMMENT 'The message in which it was said',
    staff String COMMENT 'Who promised',
    phrase String COMMENT 'The sentence, shortened',
    promised_at DateTime64(3, 'UTC') COMMENT 'When it was said, UTC',
    due_at DateTime64(3, 'UTC') COMMENT 'Until when, UTC',
    due_stated Bool COMMENT 'The sentence names the time; else a usual one is assumed',
    counts_from DateTime64(3, 'UTC') COMMENT 'From when on a message of ours can be the fulfilment, UTC',
    fulfilled_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When a person of ours got back to the contact point, UTC',
    fulfilled_by Nullable(UUID) COMMENT 'By which record',
    retracted Bool COMMENT 'Told before, no longer holds; views leave it out',
    version UInt64 COMMENT 'Log time in ms * 2^20 + offset mod 2^20: the newest row wins'
)
ENGINE = ReplacingMergeTree(version) ORDER BY followup_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Rows behind followups';

CREATE TABLE IF NOT EXISTS record_flag_rows
(
    flag_id UUID COMMENT 'Hash of record and flag',
    record_id UUID COMMENT 'The record flagged',
    flag LowCardinality(String) COMMENT 'duplicate_of, near_duplicate, outlier, late',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    conversation_id UUID COMMENT 'Its thread',
    customer_id Nullable(UUID) COMMENT 'The contact point''s customer',
    other_record_id Nullable(UUID) COMMENT 'The record it repeats, or after which it came',
    value Nullable(Float64) COMMENT 'near_duplicate: likeness 0 to 1; outlier: robust z-score; late: seconds',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When the record happened, UTC',
    retracted Bool COMMENT 'Told before, no longer holds; views leave it out',
    version UInt64 COMMENT 'Log time in ms * 2^20 + offset mod 2^20: the newest row wins'
)
ENGINE = ReplacingMergeTree(version) ORDER BY flag_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Rows behind record_flags';

CREATE VIEW IF NOT EXISTS conversation_links
(
    conversation_id UUID COMMENT 'A thread',
    canonical_id UUID COMMENT 'The conversation it belongs to'
)
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
COMMENT 'Threads that mails show to be one conversation, over two links; a thread that is not named here stands for itself';

CREATE VIEW IF NOT EXISTS conversation_facts
(
    fact_id UUID COMMENT 'Hash of kind and record',
    kind LowCardinality(String) COMMENT 'opened, customer_message, agent_message, promise, request, assigned, closed, reopened, rated, complaint_opened, complaint_handled, complaint_closed',
    actor LowCardinality(String) COMMENT 'customer; human, bot or auto of ours; system: the platform',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    conversation_id Nullable(UUID) COMMENT 'The conversation; linked threads are one; null where a business event names none',
    thread_id Nullable(UUID) COMMENT 'The thread, as its record names it',
    customer_id Nullable(UUID) COMMENT 'The contact point''s customer; null where nothing tells it',
    person_id Nullable(UUID) COMMENT 'The customer over all linked contact points',
    contact String COMMENT 'The contact point, kind:value',
    channel LowCardinality(String) COMMENT 'Channel',
    record_id UUID COMMENT 'The record that shows it',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When, UTC',
    business_s Nullable(Float64) COMMENT 'Business seconds since 1970-01-01: the difference of two facts is the business time between them; null: no business hours are set',
    staff String COMMENT 'Our person or bot in it',
    detail String COMMENT 'call_answered, call_missed, courtesy (a bare thanks or ok); what closed it; the follow-up''s way; the complaint''s number',
    talk_s Nullable(Float64) COMMENT 'Seconds spoken in a call',
    rating_index Nullable(Float64) COMMENT 'Rating on 0 to 100',
    first_response_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when a first message of this instant is promised an answer, UTC',
    next_response_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when a later message of this instant is promised an answer, UTC'
)
AS SELECT
    fact.fact_id AS fact_id,
    fact.kind AS kind,
    fact.actor AS actor,
    fact.tenant AS tenant,
    coalesce(joined.canonical_id, fact.conversation_id) AS conversation_id,
    fact.conversation_id AS thread_id,
    fact.customer_id AS customer_id,
    coalesce(person.person_id, fact.customer_id) AS person_id,
    fact.contact AS contact,
    fact.channel AS channel,
    fact.record_id AS record_id,
    fact.occurred_at AS occurred_at,
    fact.business_s AS business_s,
    fact.staff AS staff,
    fact.detail AS detail,
    fact.talk_s AS talk_s,
    fact.rating_index AS rating_index,
    fact.first_response_due_at AS first_response_due_at,
    fact.next_response_due_at AS next_response_due_at
FROM conversation_fact_rows AS fact FINAL
LEFT JOIN (SELECT toNullable(conversation_id) AS conversation_id, toNullable(canonical_id) AS canonical_id FROM conversation_links) AS joined ON fact.conversation_id = joined.conversation_id
LEFT JOIN (SELECT toNullable(customer_id) AS customer_id, toNullable(person_id) AS person_id FROM people) AS person ON fact.customer_id = person.customer_id
WHERE NOT fact.retracted
COMMENT 'What happened in conversations, one row a fact; opened and reopened are as one contact point sees them, episodes joins them all';

CREATE VIEW IF NOT EXISTS record_flags
(
    flag_id UUID COMMENT 'Hash of record and flag',
    record_id UUID COMMENT 'The record flagged',
    flag LowCardinality(String) COMMENT 'duplicate_of, near_duplicate, outlier, late',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    conversation_id UUID COMMENT 'Its thread',
    customer_id Nullable(UUID) COMMENT 'The contact point''s customer',
    other_record_id Nullable(UUID) COMMENT 'The record it repeats, or after which it came',
    value Nullable(Float64) COMMENT 'near_duplicate: likeness 0 to 1; outlier: robust z-score; late: seconds',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When the record happened, UTC'
)
AS SELECT
    flag_id,
    record_id,
    flag,
    tenant,
    conversation_id,
    customer_id,
    other_record_id,
    value,
    occurred_at
FROM record_flag_rows FINAL
WHERE NOT retracted
COMMENT 'Flags of records that only their neighbours show; FINAL, retracted ones left out';

CREATE VIEW IF NOT EXISTS followups
(
    followup_id UUID COMMENT 'Hash of the record and the place of the sentence in it',
    kind LowCardinality(String) COMMENT 'promised by us or requested by the customer',
    way LowCardinality(String) COMMENT 'call: a telephone call; any: an answer by whatever way',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    conversation_id UUID COMMENT 'The conversation; linked threads are one',
    thread_id UUID COMMENT 'The thread, as its record names it',
    customer_id Nullable(UUID) COMMENT 'The contact point''s customer; null where nothing tells it',
    person_id Nullable(UUID) COMMENT 'The customer over all linked contact points',
    contact String COMMENT 'The contact point, kind:value',
    channel LowCardinality(String) COMMENT 'Channel',
    record_id UUID COMMENT 'The message in which it was said',
    staff String COMMENT 'Who promised',
    phrase String COMMENT 'The sentence, shortened',
    promised_at DateTime64(3, 'UTC') COMMENT 'When it was said, UTC',
    due_at DateTime64(3, 'UTC') COMMENT 'Until when, UTC',
    due_stated Bool COMMENT 'The sentence names the time; else a usual one is assumed',
    counts_from DateTime64(3, 'UTC') COMMENT 'From when on a message of ours can be the fulfilment, UTC',
    fulfilled_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When a person of ours got back to the customer, by any linked contact point, UTC',
    fulfilled_by Nullable(UUID) COMMENT 'By which record',
    state LowCardinality(String) COMMENT 'open, overdue, kept, kept_late: as of now'
)
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
SELECT
    told.followup_id AS followup_id,
    told.kind AS kind,
    told.way AS way,
    told.tenant AS tenant,
    told.conversation_id AS conversation_id,
    told.thread_id AS thread_id,
    told.customer_id AS customer_id,
    told.person_id AS person_id,
    told.contact AS contact,
    told.channel AS channel,
    told.record_id AS record_id,
    told.staff AS staff,
    told.phrase AS phrase,
    told.promised_at AS promised_at,
    told.due_at AS due_at,
    told.due_stated AS due_stated,
    told.counts_from AS counts_from,
    coalesce(told.told_at, if(empty(seen.followup_id), NULL, seen.first.1)) AS fulfilled_at,
    coalesce(told.told_by, if(empty(seen.followup_id), NULL, seen.first.2)) AS fulfilled_by,
    multiIf(fulfilled_at IS NULL AND told.due_at < now64(3, 'UTC'), 'overdue', fulfilled_at IS NULL, 'open', fulfilled_at <= told.due_at, 'kept', 'kept_late') AS state
FROM told
LEFT JOIN seen ON told.followup_id = seen.followup_id
COMMENT 'What we promised and what customers asked for, when it is due, and whether it was done; state is as of now';
