-- What is told is of the programme's kinds: for their purpose, on their channel, in their experiment, worded by the member's hash.
-- over: SELECT count(*) FROM told
WITH weighed AS (
    SELECT experiment, max(to_weight) AS weights FROM trigger_variant GROUP BY experiment
), due AS (
    SELECT t.*, k.kind IS NOT NULL AS is_kind, k.purpose AS due_purpose, k.channel AS due_channel, k.experiment AS due_experiment,
           CASE WHEN NOT t.held_out THEN (
               SELECT v.name FROM trigger_variant v
               WHERE v.experiment = t.experiment
                 AND (t.bucket::BIGINT - t.holdout_bp) * w.weights // (10000 - t.holdout_bp) >= v.from_weight
                 AND (t.bucket::BIGINT - t.holdout_bp) * w.weights // (10000 - t.holdout_bp) < v.to_weight) END AS due_variant
    FROM told t LEFT JOIN trigger_kind k USING (kind) LEFT JOIN weighed w ON w.experiment = t.experiment
)
SELECT trigger_id AS who,
       CASE WHEN NOT is_kind THEN 'is of the kind ' || kind || ', which the programme has not'
            ELSE 'says (purpose, channel, experiment, variant) ' || [purpose, channel, experiment, variant]::VARCHAR
                 || ', by the programme it is ' || [due_purpose, due_channel, due_experiment, due_variant]::VARCHAR END AS what
FROM due
WHERE NOT is_kind OR [purpose, channel, experiment, variant] IS DISTINCT FROM [due_purpose, due_channel, due_experiment, due_variant]
