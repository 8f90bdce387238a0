-- Qualifying points over time, with the promotions found so far.
--
-- A paid order brings its base points when it was placed; each refund takes from them when it was settled; a
-- cancellation takes the rest when it happened, and nothing counts after it. An order is rated at the tier that
-- the member had just before it, so its base points (a share of whole points) are those of that tier. Points leave
-- when their day is older than the window.

CREATE OR REPLACE TABLE tier_at_order AS
SELECT o.order_no, coalesce(max(p.level), 0) AS level
FROM order_now o
LEFT JOIN promotion p ON p.member_id = o.member_id
 AND (p.at_ms < o.placed_at OR (p.at_ms = o.placed_at AND p.order_id < o.order_id))
WHERE o.enrolled_then
GROUP BY o.order_no;

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
SELECT c.member_id, c.order_no, c.order_id, c.stage AS step, c.at_ms, c.points, e.leaves_ms
FROM with_cancellations c
JOIN earned_day e USING (order_no)
WHERE c.points <> 0;

CREATE OR REPLACE TABLE qualifying AS
WITH movement AS (
    SELECT member_id, at_ms, 1 AS kind, order_id, step,
           CASE WHEN at_ms < leaves_ms THEN points ELSE 0 END AS points
    FROM qualifying_step
    UNION ALL
    SELECT member_id, leaves_ms, 0, '', 0, -sum(points)
    FROM qualifying_step WHERE at_ms < leaves_ms
    GROUP BY member_id, leaves_ms
)
SELECT member_id, at_ms, order_id, step, qualifying
FROM (
    SELECT *, sum(points) OVER (PARTITION BY member_id ORDER BY at_ms, kind, order_id, step)::BIGINT AS qualifying
    FROM movement
)
WHERE kind = 1;
