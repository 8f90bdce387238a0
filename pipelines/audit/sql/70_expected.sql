-- What every lot should hold now, by the facts alone.
--
-- An order earns while it is PAID or DELIVERED. Its points are pending until `pending_ms` after delivery, at the
-- latest `pending_latest_ms` after it was placed, and active from that instant on; everything else is active at once.

CREATE TABLE expected_lot AS
WITH orders AS (
    SELECT o.member_id, 'order:' || o.order_id AS lot_id, w.points,
           least(o.placed_at + v.pending_latest_ms, coalesce(o.delivered_at + v.pending_ms, o.placed_at + v.pending_latest_ms))
               <= c.now_ms AS is_active
    FROM order_now o
    JOIN version v USING (v)
    JOIN clock c USING (member_id)
    JOIN last_stage s USING (order_no)
    JOIN tier_at_order t USING (order_no)
    JOIN worth w ON w.order_no = o.order_no AND w.stage = s.stage AND w.level = t.level
    WHERE o.status IN ('PAID', 'DELIVERED')
), others AS (
    SELECT member_id, 'engagement:' || engagement_id AS lot_id, points FROM activity_worth
    UNION ALL
    SELECT member_id, 'engagement:' || engagement_id, points FROM once_worth
    UNION ALL
    SELECT m.member_id, 'welcome', v.welcome_points FROM member_now m JOIN version v USING (v)
)
SELECT member_id, lot_id, points AS held,
       CASE WHEN is_active THEN 0 ELSE points END AS pending, CASE WHEN is_active THEN points ELSE 0 END AS active
FROM orders WHERE points > 0
UNION ALL
SELECT member_id, lot_id, points, 0, points FROM others WHERE points > 0;

CREATE TABLE expected_component AS
SELECT o.member_id, 'order:' || o.order_id AS lot_id, t.reason, sum(t.points)::BIGINT AS points
FROM order_now o
JOIN last_stage s USING (order_no)
JOIN tier_at_order a USING (order_no)
JOIN term t ON t.order_no = o.order_no AND t.stage = s.stage AND t.level = a.level
WHERE o.status IN ('PAID', 'DELIVERED')
GROUP BY ALL
HAVING sum(t.points) > 0;

-- Where every member stands: the tier reached, and the qualifying points after the last thing that changed them.
CREATE TABLE expected_standing AS
SELECT m.member_id, t.name AS tier, coalesce(q.qualifying, 0) AS qualifying
FROM member_now m
JOIN (
    SELECT member_id, max(level) AS level, arg_max(at_ms, level) AS since_ms FROM promotion GROUP BY member_id
) p USING (member_id)
JOIN version v ON p.since_ms >= v.from_ms AND p.since_ms < v.to_ms
JOIN tier t ON t.v = v.v AND t.level = p.level
LEFT JOIN (
    SELECT member_id, qualifying FROM qualifying
    QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY at_ms DESC, order_id DESC, step DESC) = 1
) q USING (member_id);
