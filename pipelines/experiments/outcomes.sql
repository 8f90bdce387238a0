-- What each member did after crossing for the first time in an experiment, under the arm that their hash assigns.
--
-- Intention to treat: whoever crossed counts under their arm, also when a cap, quiet hours or a withdrawal kept the message
-- from them, for those who are held out would have met these too. Who had not agreed when they crossed counts in no arm:
-- consent is looked at before the holdout. The clock of both arms begins at the crossing, not when quiet hours end.
-- Expects the tables of `80_told.sql`, and `window_ms` as a variable.

CREATE OR REPLACE TABLE subject AS
WITH crossing AS (
    SELECT experiment, member_id, min(crossed_at) AS crossed_at, any_value(bucket) AS bucket, min(kind) AS kind,
           bool_or(reason = 'SENT') AS sent
    FROM told
    WHERE reason <> 'WITHDRAWN' AND NOT (reason = 'NO_CONSENT' AND recorded_at = crossed_at)
      AND experiment IN (SELECT experiment FROM trigger_kind)
    GROUP BY ALL
), weighed AS (
    SELECT experiment, max(to_weight) AS weights FROM trigger_variant GROUP BY experiment
)
SELECT c.experiment, c.member_id, c.crossed_at, c.sent,
       CASE WHEN c.bucket < k.holdout_bp THEN 'holdout' ELSE coalesce(v.name, 'told') END AS arm,
       c.crossed_at + getvariable('window_ms') <= (
           SELECT greatest(coalesce((SELECT max("at") FROM tick), 0), coalesce((SELECT max(recorded_at) FROM fact), 0))) AS followed
FROM crossing c
JOIN trigger_kind k ON k.kind = c.kind
LEFT JOIN weighed w ON w.experiment = c.experiment
LEFT JOIN trigger_variant v ON v.experiment = c.experiment
 AND (c.bucket::BIGINT - k.holdout_bp) * w.weights // greatest(1, 10000 - k.holdout_bp) >= v.from_weight
 AND (c.bucket::BIGINT - k.holdout_bp) * w.weights // greatest(1, 10000 - k.holdout_bp) < v.to_weight;

-- What an order brought: its lines after discounts, less what was paid with points and what was refunded, in units of what
-- earns one base point (1.00 of EUR and CHF, 150 JPY in the reference programme), so that markets can be added up.
CREATE OR REPLACE TABLE bought AS
WITH told_last AS (
    SELECT * FROM fact_order ANTI JOIN dead_letter USING (topic, "partition", "offset")
    WHERE recorded_at - occurred_at <= (SELECT lateness_ms FROM programme)
    QUALIFY row_number() OVER (PARTITION BY member_id, order_id ORDER BY version DESC, "offset") = 1
), back AS (
    SELECT member_id, order_id, sum(list_sum(list_transform(lines, lambda x: x.refund_minor))) AS refunded
    FROM (
        SELECT * FROM fact_return ANTI JOIN dead_letter USING (topic, "partition", "offset")
        WHERE recorded_at - occurred_at <= (SELECT lateness_ms FROM programme)
        QUALIFY row_number() OVER (PARTITION BY member_id, return_id ORDER BY version DESC, "offset") = 1
    ) WHERE status = 'REFUNDED' GROUP BY ALL
)
SELECT o.member_id, o.order_id, o.placed_at,
       greatest(0, list_sum(list_transform(o.lines, lambda x: x.gross_minor - x.discount_minor)) - o.order_discount_minor
                   - o.paid_with_points_minor - coalesce(b.refunded, 0)) * r.points / r.per_minor AS net
FROM told_last o
JOIN version v ON o.placed_at >= v.from_ms AND o.placed_at < v.to_ms
JOIN rate r ON r.v = v.v AND r.currency = o.currency
LEFT JOIN back b USING (member_id, order_id)
WHERE o.status IN ('PAID', 'DELIVERED');

CREATE OR REPLACE TABLE outcome AS
SELECT s.experiment, s.arm, s.member_id, s.sent, count(b.order_id) AS orders, coalesce(sum(b.net), 0) AS net
FROM subject s
LEFT JOIN bought b ON b.member_id = s.member_id
 AND b.placed_at > s.crossed_at AND b.placed_at <= s.crossed_at + getvariable('window_ms')
WHERE s.followed
GROUP BY ALL;
