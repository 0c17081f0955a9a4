-- Quality of the models: every example tested before it was learnt, what follows from that, and drift.

CREATE TABLE IF NOT EXISTS assessment_rows
(
    label_id UUID COMMENT 'The label that was tested',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    record_id UUID COMMENT 'The record judged',
    head LowCardinality(String) COMMENT 'The question',
    language LowCardinality(String) COMMENT 'ISO 639-1 code of the text; empty: too short to tell',
    channel LowCardinality(String) COMMENT 'Channel',
    direction LowCardinality(String) COMMENT 'inbound, outbound, internal',
    value LowCardinality(String) COMMENT 'The right answer; empty: it was taken back',
    origin LowCardinality(String) COMMENT 'person, outcome, import',
    labelled_at DateTime64(3, 'UTC') COMMENT 'When the label was given, UTC',
    tested Bool COMMENT 'The head had seen no label of this record before: a fair test',
    answer LowCardinality(String) COMMENT 'What would have been answered just before it was learnt',
    p Float32 COMMENT 'Probability of that answer',
    abstained Bool COMMENT 'The head was not sure enough',
    answered_by LowCardinality(String) COMMENT 'rules or model',
    model_version LowCardinality(String) COMMENT 'Version that answered',
    model_guess LowCardinality(String) COMMENT 'The model''s own best guess, also where it does not answer yet',
    rule_guess LowCardinality(String) COMMENT 'What the rule said',
    generation UInt32 COMMENT 'Generation of the examples',
    offset Int64 COMMENT 'Place of the example in its log',
    version UInt64 COMMENT 'Log time in ms * 2^20 + offset mod 2^20: the newest row wins'
)
ENGINE = ReplacingMergeTree(version) ORDER BY (head, record_id, label_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Rows behind assessments: one a label';

CREATE VIEW IF NOT EXISTS assessments
(
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    head LowCardinality(String) COMMENT 'The question',
    record_id UUID COMMENT 'The record judged',
    label_id UUID COMMENT 'The first label of the record, before which the answer was asked for',
    language LowCardinality(String) COMMENT 'ISO 639-1 code of the text; empty: too short to tell',
    channel LowCardinality(String) COMMENT 'Channel',
    direction LowCardinality(String) COMMENT 'inbound, outbound, internal',
    labelled_at DateTime64(3, 'UTC') COMMENT 'When the first label was given, UTC',
    origin LowCardinality(String) COMMENT 'Who gave the label that holds: person, outcome, import',
    value LowCardinality(String) COMMENT 'The right answer, by the label that holds',
    answer LowCardinality(String) COMMENT 'What would have been answered before any label of the record was learnt',
    correct Bool COMMENT 'The answer was right',
    p Float32 COMMENT 'Probability of the answer',
    abstained Bool COMMENT 'The head was not sure enough',
    answered_by LowCardinality(String) COMMENT 'rules or model',
    model_version LowCardinality(String) COMMENT 'Version that answered',
    model_guess LowCardinality(String) COMMENT 'The model''s own best guess, also where it does not answer yet',
    rule_guess LowCardinality(String) COMMENT 'What the rule said',
    generation UInt32 COMMENT 'Generation of the examples',
    offset Int64 COMMENT 'Place of the example in its log'
)
AS WITH
    holding AS
    (
        SELECT
            head,
            record_id,
            argMax(value, (origin != 'outcome', labelled_at, toString(label_id))) AS held_value,
            argMax(origin, (origin != 'outcome', labelled_at, toString(label_id))) AS held_origin
        FROM assessment_rows FINAL
        GROUP BY head, record_id
    ),
    tests AS
    (
        SELECT * FROM assessment_rows FINAL WHERE tested ORDER BY generation, offset LIMIT 1 BY head, record_id
    )
SELECT
    tests.tenant AS tenant,
    tests.head AS head,
    tests.record_id AS record_id,
    tests.label_id AS label_id,
    tests.language AS language,
    tests.channel AS channel,
    tests.direction AS direction,
    tests.labelled_at AS labelled_at,
    holding.held_origin AS origin,
    holding.held_value AS value,
    tests.answer AS answer,
    tests.answer = holding.held_value AS correct,
    tests.p AS p,
    tests.abstained AS abstained,
    tests.answered_by AS answered_by,
    tests.model_version AS model_version,
    tests.model_guess AS model_guess,
    tests.rule_guess AS rule_guess,
    tests.generation AS generation,
    tests.offset AS offset
FROM tests
INNER JOIN holding ON tests.head = holding.head AND tests.record_id = holding.record_id
WHERE holding.held_value != ''
COMMENT 'Test, then train: one row a labelled record and head, judged by the label that holds';

CREATE VIEW IF NOT EXISTS model_quality
(
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    head LowCardinality(String) COMMENT 'The question',
    day Nullable(Date) COMMENT 'Day of the labels in UTC; null: over all days',
    language String COMMENT 'ISO 639-1 code; all: over all languages and channels',
    channel String COMMENT 'Channel; all: over all languages and channels',
    tests UInt64 COMMENT 'Labelled records, each tested before it was learnt',
    accuracy Float64 COMMENT 'Share of right best guesses, those from which the head abstained among them',
    macro_f1 Float64 COMMENT 'Mean over the labels met of 2 hits / (times it was right + times it was answered)',
    coverage Float64 COMMENT 'Share of tests in which the head did not abstain',
    covered_accuracy Nullable(Float64) COMMENT 'Share of right ones among the answers from which it did not abstain; null: there are none',
    calibration_error Nullable(Float64) COMMENT 'Expected calibration error of the model''s answers over 15 bins of equal width; null: only rules answered',
    model_accuracy Float64 COMMENT 'Share of right guesses of the model, also where it did not answer yet',
    rule_accuracy Float64 COMMENT 'Share of right guesses of the rules',
    by_model Float64 COMMENT 'Share of tests that the model answered, not the rules'
)
AS SELECT
    tenant,
    head,
    if(over_days, NULL, day_) AS day,
    if(over_channels, 'all', language_) AS language,
    if(over_channels, 'all', channel_) AS channel,
    tests,
    accuracy,
    arrayAvg(label -> 2 * hits[label] / (support[label] + answered[label]), arrayFilter(label -> label != '', arrayDistinct(arrayConcat(mapKeys(support), mapKeys(answered))))) AS macro_f1,
    coverage,
    covered_accuracy,
    if(by_model = 0, NULL, arraySum(bin -> abs(bin_hits[bin] - bin_p[bin]), mapKeys(bin_p)) / (tests * by_model)) AS calibration_error,
    model_accuracy,
    rule_accuracy,
    by_model
FROM
(
    SELECT
        tenant,
        head,
        day_,
        language_,
        channel_,
        grouping(day_) = 1 AS over_days,
        grouping(channel_) = 1 AS over_channels,
        count() AS tests,
        avg(correct) AS accuracy,
        sumMap(map(toString(value), 1)) AS support,
        sumMap(map(toString(answer), 1)) AS answered,
        sumMap(map(toString(value), toUInt64(correct))) AS hits,
        avg(NOT abstained) AS coverage,
        avgOrNullIf(correct, NOT abstained) AS covered_accuracy,
        sumMapIf(map(bin_, toFloat64(p)), answered_by = 'model') AS bin_p,
        sumMapIf(map(bin_, toFloat64(correct)), answered_by = 'model') AS bin_hits,
        avg(model_guess = value) AS model_accuracy,
        avg(rule_guess = value) AS rule_accuracy,
        avg(answered_by = 'model') AS by_model
    FROM
    (
        SELECT
            *,
            toDate(labelled_at, 'UTC') AS day_,
            toString(language) AS language_,
            toString(channel) AS channel_,
            toUInt8(least(floor(p * 15), 14)) AS bin_
        FROM assessments
    )
    GROUP BY GROUPING SETS
    (
        (tenant, head),
        (tenant, head, day_),
        (tenant, head, language_, channel_),
        (tenant, head, day_, language_, channel_)
    )
)
COMMENT 'How good the models are: prequential, by head, day, language and channel';

CREATE VIEW IF NOT EXISTS model_confusion
(
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    head LowCardinality(String) COMMENT 'The question',
    value LowCardinality(String) COMMENT 'The right answer',
    answer LowCardinality(String) COMMENT 'What would have been answered; empty: nothing',
    tests UInt64 COMMENT 'How often',
    abstained UInt64 COMMENT 'How often of those the head abstained'
)
AS SELECT
    tenant,
    head,
    value,
    answer,
    count() AS tests,
    countIf(abstained) AS abstained
FROM assessments
GROUP BY tenant, head, value, answer
COMMENT 'What is taken for what';

CREATE VIEW IF NOT EXISTS model_calibration
(
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    head LowCardinality(String) COMMENT 'The question',
    bin UInt8 COMMENT 'Bin of the probability: 15 of equal width, from 0',
    tests UInt64 COMMENT 'The model''s answers in it',
    mean_p Float64 COMMENT 'Their mean probability',
    accuracy Float64 COMMENT 'Share of right ones among them: calibrated where it is mean_p'
)
AS SELECT
    tenant,
    head,
    toUInt8(least(floor(p * 15), 14)) AS bin,
    count() AS tests,
    avg(p) AS mean_p,
    avg(correct) AS accuracy
FROM assessments
WHERE answered_by = 'model'
GROUP BY tenant, head, bin
COMMENT 'Whether a probability of .8 is right four times of five';

CREATE TABLE IF NOT EXISTS drift_rows
(
    drift_id UUID COMMENT 'Hash of head and label',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    head LowCardinality(String) COMMENT 'The question',
    label_id UUID COMMENT 'The test at which it was noticed',
    noticed_at DateTime64(3, 'UTC') COMMENT 'When that label was given, UTC',
    tests UInt64 COMMENT 'Tests of the head until then',
    error_before Float64 COMMENT 'Share of wrong answers in the part that was dropped',
    error_after Float64 COMMENT 'Share of wrong answers in the part that is left',
    detector LowCardinality(String) COMMENT 'What noticed it',
    version UInt64 COMMENT 'Log time in ms * 2^20 + offset mod 2^20: the newest row wins'
)
ENGINE = ReplacingMergeTree(version) ORDER BY drift_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Rows behind drifts';

CREATE VIEW IF NOT EXISTS drifts
(
    drift_id UUID COMMENT 'Hash of head and label',
    tenant LowCardinality(String) COMMENT 'Whose data it is',
    head LowCardinality(String) COMMENT 'The question',
    label_id UUID COMMENT 'The test at which it was noticed',
    noticed_at DateTime64(3, 'UTC') COMMENT 'When that label was given, UTC',
    tests UInt64 COMMENT 'Tests of the head until then',
    error_before Float64 COMMENT 'Share of wrong answers in the part that was dropped',
    error_after Float64 COMMENT 'Share of wrong answers in the part that is left',
    detector LowCardinality(String) COMMENT 'What noticed it'
)
AS SELECT
    drift_id,
    tenant,
    head,
    label_id,
    noticed_at,
    tests,
    error_before,
    error_after,
    detector
FROM drift_rows FINAL
COMMENT 'Heads whose accuracy has changed, for better or worse';
