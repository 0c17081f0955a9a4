-- One timeline a customer, over communications and business events.

CREATE VIEW IF NOT EXISTS history
(
    customer_id Nullable(UUID) COMMENT 'Whose history',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When, UTC',
    record_id UUID COMMENT 'The record',
    history LowCardinality(String) COMMENT 'communications or business_events',
    channel LowCardinality(String) COMMENT 'Channel, or where a business event was made',
    event String COMMENT 'What happened, in words a person reads: email inbound, order paid',
    direction LowCardinality(String) COMMENT 'inbound, outbound, internal; empty for business events',
    contact String COMMENT 'Contact point it came by',
    staff String COMMENT 'Our person in it',
    title String COMMENT 'Subject, order or complaint number',
    text String COMMENT 'Reply, feedback or complaint',
    result String COMMENT 'Outcome',
    remarks String COMMENT 'Note of staff, handling, reason',
    need LowCardinality(String) COMMENT 'What the customer wants',
    sentiment LowCardinality(String) COMMENT 'How the customer feels',
    purchase_intent LowCardinality(String) COMMENT 'How near to buying',
    need_abstained Bool COMMENT 'need is a best guess below its threshold',
    sentiment_abstained Bool COMMENT 'sentiment is a best guess below its threshold',
    purchase_intent_abstained Bool COMMENT 'purchase_intent is a best guess below its threshold',
    disposition LowCardinality(String) COMMENT 'How a call ended',
    talk_s Nullable(Float64) COMMENT 'Seconds spoken in a call; null where nobody answered',
    attachment_names Array(String) COMMENT 'Names of attachments',
    amount Nullable(Decimal(18, 4)) COMMENT 'Sum moved',
    currency LowCardinality(String) COMMENT 'ISO 4217',
    rating_index Nullable(Float64) COMMENT '0 to 100',
    conversation_id Nullable(UUID) COMMENT 'Thread',
    quality_flags Array(LowCardinality(String)) COMMENT 'What cleaning found'
)
AS SELECT
    customer_id,
    occurred_at,
    record_id,
    'communications' AS history,
    channel,
    concat(channel, ' ', direction) AS event,
    direction,
    contact,
    staff,
    subject AS title,
    if(reply_text != '', reply_text, body_text) AS text,
    result,
    remarks,
    need,
    sentiment,
    purchase_intent,
    need_abstained,
    sentiment_abstained,
    purchase_intent_abstained,
    disposition,
    talk_s,
    attachment_names,
    CAST(NULL, 'Nullable(Decimal(18, 4))') AS amount,
    '' AS currency,
    CAST(NULL, 'Nullable(Float64)') AS rating_index,
    conversation_id,
    quality_flags
FROM communications
UNION ALL
SELECT
    customer_id,
    occurred_at,
    record_id,
    'business_events' AS history,
    channel,
    concat(kind, ' ', action) AS event,
    '' AS direction,
    contact,
    staff,
    entity_id AS title,
    text,
    result,
    arrayStringConcat(arrayFilter(x -> x != '', [reason, handling]), '; ') AS remarks,
    '' AS need,
    '' AS sentiment,
    '' AS purchase_intent,
    false AS need_abstained,
    false AS sentiment_abstained,
    false AS purchase_intent_abstained,
    '' AS disposition,
    CAST(NULL, 'Nullable(Float64)') AS talk_s,
    CAST([], 'Array(String)') AS attachment_names,
    amount,
    currency,
    rating_index,
    CAST(NULL, 'Nullable(UUID)') AS conversation_id,
    quality_flags
FROM business_events
COMMENT 'One timeline over communications and business events; filter by customer_id, order by occurred_at';

-- The same for given customers through the index: fast on any size. SELECT * FROM customer_history(customer_ids = ['…'])
CREATE VIEW IF NOT EXISTS customer_history
AS SELECT
    customer_id,
    occurred_at,
    record_id,
    'communications' AS history,
    channel,
    concat(channel, ' ', direction) AS event,
    direction,
    contact,
    staff,
    subject AS title,
    if(reply_text != '', reply_text, body_text) AS text,
    result,
    remarks,
    need,
    sentiment,
    purchase_intent,
    need_abstained,
    sentiment_abstained,
    purchase_intent_abstained,
    disposition,
    talk_s,
    attachment_names,
    CAST(NULL, 'Nullable(Decimal(18, 4))') AS amount,
    '' AS currency,
    CAST(NULL, 'Nullable(Float64)') AS rating_index,
    conversation_id,
    quality_flags
FROM communications
WHERE record_id IN (SELECT record_id FROM customer_index WHERE customer_id IN {customer_ids:Array(UUID)} AND history = 'communications')
  AND customer_id IN {customer_ids:Array(UUID)}
UNION ALL
SELECT
    customer_id,
    occurred_at,
    record_id,
    'business_events' AS history,
    channel,
    concat(kind, ' ', action) AS event,
    '' AS direction,
    contact,
    staff,
    entity_id AS title,
    text,
    result,
    arrayStringConcat(arrayFilter(x -> x != '', [reason, handling]), '; ') AS remarks,
    '' AS need,
    '' AS sentiment,
    '' AS purchase_intent,
    false AS need_abstained,
    false AS sentiment_abstained,
    false AS purchase_intent_abstained,
    '' AS disposition,
    CAST(NULL, 'Nullable(Float64)') AS talk_s,
    CAST([], 'Array(String)') AS attachment_names,
    amount,
    currency,
    rating_index,
    CAST(NULL, 'Nullable(UUID)') AS conversation_id,
    quality_flags
FROM business_events
WHERE record_id IN (SELECT record_id FROM customer_index WHERE customer_id IN {customer_ids:Array(UUID)} AND history = 'business_events')
  AND customer_id IN {customer_ids:Array(UUID)}
;

CREATE VIEW IF NOT EXISTS daily_volume
(
    day Date COMMENT 'Day in UTC',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    channel LowCardinality(String) COMMENT 'Channel',
    direction LowCardinality(String) COMMENT 'inbound, outbound, internal',
    records UInt64 COMMENT 'Communications',
    customers UInt64 COMMENT 'Different customers',
    conversations UInt64 COMMENT 'Different conversations'
)
AS SELECT
    toDate(occurred_at, 'UTC') AS day,
    tenant,
    channel,
    direction,
    count() AS records,
    uniqExact(customer_id) AS customers,
    uniqExact(conversation_id) AS conversations
FROM communication_rows FINAL
GROUP BY day, tenant, channel, direction
COMMENT 'Communications by UTC day, channel and direction';
