-- Quality of the models: every example tested before it was learnt, what follows from that, and drift.

{{ table("assessment_rows") }}

CREATE VIEW IF NOT EXISTS assessments
{{ columns("assessments") }}
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
{{ select("assessments", alias="tests",
    origin="holding.held_origin",
    value="holding.held_value",
    correct="tests.answer = holding.held_value") }}
FROM tests
INNER JOIN holding ON tests.head = holding.head AND tests.record_id = holding.record_id
WHERE holding.held_value != ''
{{ comment("assessments") }};

CREATE VIEW IF NOT EXISTS model_quality
{{ columns("model_quality") }}
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
{{ comment("model_quality") }};

CREATE VIEW IF NOT EXISTS model_confusion
{{ columns("model_confusion") }}
AS SELECT
    tenant,
    head,
    value,
    answer,
    count() AS tests,
    countIf(abstained) AS abstained
FROM assessments
GROUP BY tenant, head, value, answer
{{ comment("model_confusion") }};

CREATE VIEW IF NOT EXISTS model_calibration
{{ columns("model_calibration") }}
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
{{ comment("model_calibration") }};

{{ table("drift_rows") }}

{{ view("drifts") }}
