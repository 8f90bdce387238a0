-- What every lot should hold now, by the facts alone.
--
-- An order earns while it is PAID or DELIVERED. Its points are pending until `pending_ms` after delivery, at the
-- latest `pending_latest_ms` after it was placed, and active from that instant on, less what an open return holds;
-- everything else is active at once. Active points expire when their months are over and the day, or the month, of the
-- programme's zone in which that is has ended: at the midnight behind it. What was spent of a lot was decided, and is
-- taken from the ledger; where the rest must be, is not.

CREATE TABLE expected_lot AS
WITH earned AS (
    SELECT o.member_id, 'order:' || o.order_id AS lot_id, o.v, w.points, a.active_from,
           w.points - coalesce(kept.points, w.points) AS waiting
    FROM order_now o
    JOIN order_active a USING (order_no)
    JOIN last_stage s USING (order_no)
    JOIN tier_at_order t USING (order_no)
    JOIN worth w ON w.order_no = o.order_no AND w.stage = s.stage AND w.level = t.level
    LEFT JOIN worth kept ON kept.order_no = o.order_no AND kept.stage = -1 AND kept.level = t.level
    WHERE o.status IN ('PAID', 'DELIVERED')
    UNION ALL
    SELECT e.member_id, 'engagement:' || e.engagement_id, e.v, w.points, e.occurred_at, 0
    FROM (SELECT * FROM activity_worth UNION ALL SELECT * FROM once_worth) w
    JOIN engagement_now e USING (member_id, engagement_id)
    UNION ALL
    SELECT m.member_id, 'welcome', m.v, v.welcome_points, m.enrolled_at, 0 FROM member_now m JOIN version v USING (v)
    UNION ALL
    SELECT DISTINCT r.member_id, 'adjust:' || r.command_id, v.v, 0, r.recorded_at, 0
    FROM command_result r JOIN version v ON r.recorded_at >= v.from_ms AND r.recorded_at < v.to_ms
    WHERE r.kind = 'ADJUST' AND r.status = 'ACCEPTED' AND r.points_asked > 0
), last_day AS (
    SELECT e.*, v.zone, v.expiry_of_month,
           (timezone(v.zone, make_timestamptz(e.active_from * 1000))::DATE + to_months(v.expiry_months::INTEGER))::DATE AS last_day
    FROM earned e JOIN version v USING (v)
    WHERE e.points > 0 OR starts_with(e.lot_id, 'adjust:')
), dated AS (
    SELECT *, epoch_ms(timezone(zone, (CASE WHEN expiry_of_month THEN date_trunc('month', last_day) + to_months(1)
                                            ELSE last_day + to_days(1) END)::TIMESTAMP)) AS expires_at
    FROM last_day
), unspent AS (
    SELECT d.*, c.now_ms, d.points - coalesce(l.spent, 0) AS free
    FROM dated d JOIN clock c USING (member_id) LEFT JOIN ledger_lot l USING (member_id, lot_id)
), placed AS (
    SELECT *, CASE WHEN now_ms < active_from THEN free ELSE least(waiting, free) END AS pending,
           coalesce(expires_at <= now_ms, FALSE) AS is_over
    FROM unspent
)
SELECT member_id, lot_id, points AS held, pending,
       CASE WHEN is_over THEN 0 ELSE free - pending END AS active,
       CASE WHEN is_over THEN free - pending ELSE 0 END AS expired
FROM placed;

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
