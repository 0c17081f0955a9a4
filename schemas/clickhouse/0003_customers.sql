-- Customers, their contact points' links, and the index that finds a customer's records.

CREATE TABLE IF NOT EXISTS customer_rows
(
    customer_id UUID COMMENT 'Keyed hash of the contact point',
    tenant SimpleAggregateFunction(any, LowCardinality(String)) COMMENT 'Whose data it is',
    contact SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'Contact point kind:value, with when it was seen',
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'First event, UTC',
    last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last event, UTC',
    name SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'Name, with when it was said',
    email SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'Mail address, with when it was said',
    phone SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'Telephone number, E.164, with when it was said',
    handle SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'Chat or social handle, with when it was said',
    address SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'Postal address, with when it was said',
    city SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'City, with when it was said',
    origin SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'Where the customer came from (来源), with when it was said',
    gender SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'As the customer states it, with when it was said',
    birth_year SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'Year of birth, with when it was said',
    segment SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'Segment given by hand, with when it was said'
)
ENGINE = AggregatingMergeTree ORDER BY customer_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'State behind customers: folding an event again changes nothing, so replays are harmless';

CREATE VIEW IF NOT EXISTS customers
(
    customer_id UUID COMMENT 'Keyed hash of the contact point',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    contact String COMMENT 'Contact point kind:value',
    first_seen DateTime64(3, 'UTC') COMMENT 'First event, UTC',
    last_seen DateTime64(3, 'UTC') COMMENT 'Last event, UTC',
    name String COMMENT 'Name; the latest said',
    email String COMMENT 'Mail address; the latest said',
    phone String COMMENT 'Telephone number, E.164; the latest said',
    handle String COMMENT 'Chat or social handle; the latest said',
    address String COMMENT 'Postal address; the latest said',
    city String COMMENT 'City; the latest said',
    origin String COMMENT 'Where the customer came from (来源); the latest said',
    gender String COMMENT 'As the customer states it; the latest said',
    birth_year String COMMENT 'Year of birth; the latest said',
    segment String COMMENT 'Segment given by hand; the latest said'
)
AS SELECT
    customer_id,
    any(tenant) AS tenant,
    max(contact).2 AS contact,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen,
    max(name).2 AS name,
    max(email).2 AS email,
    max(phone).2 AS phone,
    max(handle).2 AS handle,
    max(address).2 AS address,
    max(city).2 AS city,
    max(origin).2 AS origin,
    max(gender).2 AS gender,
    max(birth_year).2 AS birth_year,
    max(segment).2 AS segment
FROM customer_rows AS state
GROUP BY customer_id
COMMENT 'One row a contact point that identifies a customer; links join several to one person';

CREATE TABLE IF NOT EXISTS link_rows
(
    link_id UUID COMMENT 'Hash of both contact points',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    customer_id UUID COMMENT 'Customer of the stronger contact point',
    contact String COMMENT 'The stronger contact point',
    other_customer_id UUID COMMENT 'Customer of the weaker one',
    other_contact String COMMENT 'The weaker contact point',
    record_id UUID COMMENT 'The earliest event that showed both',
    linked_at DateTime64(3, 'UTC') COMMENT 'When it happened, UTC',
    version UInt64 COMMENT 'Log time in ms * 2^20 + offset mod 2^20: the newest row wins'
)
ENGINE = ReplacingMergeTree(version) ORDER BY link_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Contact points seen together as one customer''s';

CREATE VIEW IF NOT EXISTS links
(
    link_id UUID COMMENT 'Hash of both contact points',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    customer_id UUID COMMENT 'Customer of the stronger contact point',
    contact String COMMENT 'The stronger contact point',
    other_customer_id UUID COMMENT 'Customer of the weaker one',
    other_contact String COMMENT 'The weaker contact point',
    record_id UUID COMMENT 'The earliest event that showed both',
    linked_at DateTime64(3, 'UTC') COMMENT 'When it happened, UTC'
)
AS SELECT
    link_id,
    tenant,
    customer_id,
    contact,
    other_customer_id,
    other_contact,
    record_id,
    linked_at
FROM link_rows FINAL
COMMENT 'Contact points seen together as one customer''s';

CREATE TABLE IF NOT EXISTS customer_index
(
    customer_id UUID COMMENT 'Customer',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When, UTC',
    record_id UUID COMMENT 'Candidate record; the history view rechecks its current row',
    history LowCardinality(String) COMMENT 'communications or business_events',
    version UInt64 COMMENT 'Log time in ms * 2^20 + offset mod 2^20: the newest row wins'
)
ENGINE = ReplacingMergeTree(version) ORDER BY (customer_id, occurred_at, record_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Finds a customer''s records without reading them all; may name a record that has moved since';


CREATE VIEW IF NOT EXISTS people
(
    customer_id UUID COMMENT 'A contact point''s customer id',
    person_id UUID COMMENT 'The customer id of the strongest contact point that links join to it'
)
AS WITH strongest AS
(
    SELECT
        other_customer_id AS weaker_id,
        argMin(customer_id, (indexOf(['id', 'email', 'phone', 'handle'], splitByChar(':', contact)[1]), contact)) AS stronger_id
    FROM links
    GROUP BY other_customer_id
)
SELECT
    near.weaker_id AS customer_id,
    if(empty(far.stronger_id), near.stronger_id, far.stronger_id) AS person_id
FROM strongest AS near
LEFT JOIN strongest AS far ON near.stronger_id = far.weaker_id
COMMENT 'Who is whose other contact point, over two links; customers that are not named here are persons of their own';
