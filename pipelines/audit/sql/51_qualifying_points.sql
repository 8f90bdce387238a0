-- Qualifying points over time, for the tiers that orders are believed to have been placed at.
--
-- A paid order brings its base points when it was placed; each refund takes from them when it was settled; a
-- cancellation takes the rest when it happened, and nothing counts after it. An order is rated at the tier that
-- the member had just before it, so its base points (a share of whole points) are those of that tier.

CREATE OR REPLACE TABLE qualifying_step AS
WITH counted AS (
    SELECT o.member_id, o.order_no, o.order_id, s.stage, s.at_ms, w.base,
           w.base - lag(w.base, 1, 0) OVER (PARTITION BY o.order_no ORDER BY s.stage) AS points
    FROM stage s
    JOIN order_now o USING (order_no)
    JOIN tier_at_order t USING (order_no)
    JOIN worth w ON w.order_no = s.order_no AND w.stage = s.stage AND w.level = t.level
    WHERE o.paid_at IS NOT NULL AND s.stage >= 0
      AND (s.stage = 0 OR o.cancelled_at IS NULL OR s.at_ms < o.cancelled_at)
), with_cancellations AS (
    SELECT member_id, order_no, order_id, stage, at_ms, points FROM counted
    UNION ALL
    SELECT c.member_id, c.order_no, c.order_id, c.stage + 1, greatest(o.cancelled_at, o.placed_at), -c.base
    FROM counted c
    JOIN order_now o USING (order_no)
    WHERE o.status = 'CANCELLED' AND o.cancelled_at IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY c.order_no ORDER BY c.stage DESC) = 1
)
SELECT c.member_id, c.order_no, c.order_id, c.stage AS step, c.at_ms, c.points, e.ends_ms, e.leaves_ms
FROM with_cancellations c
JOIN earned_bucket e USING (order_no)
WHERE c.points <> 0 OR c.stage = 0;

-- All that may change a tier, in order: at one instant first what time does (kind 0), then the orders' steps (kind 1).
CREATE OR REPLACE TABLE occasion AS
WITH movement AS (
    SELECT member_id, at_ms, 1 AS kind, order_id, step, order_no, points,
           CASE WHEN at_ms < ends_ms THEN points ELSE 0 END AS to_current,
           CASE WHEN at_ms >= ends_ms AND at_ms < leaves_ms THEN points ELSE 0 END AS to_last,
           FALSE AS period_ends, FALSE AS thresholds_change
    FROM qualifying_step
    UNION ALL
    SELECT member_id, at_ms, 0, '', 0, NULL, 0, sum(to_current), sum(to_last), bool_or(period_ends), bool_or(thresholds_change)
    FROM (
        SELECT member_id, ends_ms AS at_ms, -points AS to_current, CASE WHEN ends_ms < leaves_ms THEN points ELSE 0 END AS to_last,
               FALSE AS period_ends, FALSE AS thresholds_change
        FROM qualifying_step WHERE at_ms < ends_ms
        UNION ALL
        SELECT member_id, leaves_ms, 0, -points, FALSE, FALSE FROM qualifying_step WHERE at_ms < leaves_ms AND ends_ms < leaves_ms
        UNION ALL
        SELECT member_id, begins_ms, 0, 0, TRUE, FALSE FROM member_period WHERE number > 0
        UNION ALL
        SELECT m.member_id, t.at_ms, 0, 0, FALSE, TRUE FROM member_now m JOIN thresholds_change t ON t.at_ms > m.enrolled_at
    )
    GROUP BY member_id, at_ms
), known AS (
    SELECT m.*, greatest(c.now_ms, coalesce(max(CASE WHEN m.kind = 1 THEN m.at_ms END) OVER (PARTITION BY m.member_id), 0)) AS until_ms
    FROM movement m JOIN clock c USING (member_id)
    QUALIFY m.at_ms <= until_ms
)
SELECT k.member_id, row_number() OVER over_time AS number, k.at_ms, k.kind, k.order_no, k.step, k.points,
       k.period_ends, k.thresholds_change, k.until_ms,
       sum(k.to_current) OVER over_time::BIGINT AS qualifying,
       CASE WHEN r.is_rolling THEN qualifying ELSE greatest(qualifying, sum(k.to_last) OVER over_time) END::BIGINT AS carrying
FROM known k CROSS JOIN rules_of_tiers r
WINDOW over_time AS (PARTITION BY k.member_id ORDER BY k.at_ms, k.kind, k.order_id, k.step);

CREATE OR REPLACE TABLE known_until AS
SELECT m.member_id, greatest(c.now_ms, coalesce(q.last_ms, 0)) AS until_ms
FROM member_now m JOIN clock c USING (member_id)
LEFT JOIN (SELECT member_id, max(at_ms) AS last_ms FROM qualifying_step GROUP BY member_id) q USING (member_id);
