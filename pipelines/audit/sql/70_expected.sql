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
    SELECT m.member_id, 'welcome:' || m.first_id, m.v, v.welcome_points, m.enrolled_at, 0 FROM member_now m JOIN version v USING (v)
    UNION ALL
    SELECT DISTINCT p.member_id, 'adjust:' || r.command_id, v.v, 0, r.recorded_at, 0
    FROM command_result r JOIN living_person p ON p.told_by = r.member_id JOIN version v ON r.recorded_at >= v.from_ms AND r.recorded_at < v.to_ms
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

-- Where every member stands: the tier, what keeps it and what reaches the next, by the rules in force at the member's now.
-- What is known to leave a rolling window leaves before the tier is looked at: on the first day without which the points
-- no longer carry it. By periods it is looked at when one ends; what is earned after that counts for the next.
CREATE TABLE expected_standing AS
WITH last AS (
    SELECT member_id, max(turn) AS turn, arg_max(tier, turn) AS tier, arg_max(risk_ms, turn) AS risk_ms,
           arg_max(qualifying, turn) AS qualifying, arg_max(carrying, turn) AS carrying
    FROM (SELECT * REPLACE (coalesce(risk_ms, -1) AS risk_ms) FROM standing) GROUP BY member_id
), placed AS (
    SELECT l.* REPLACE (nullif(l.risk_ms, -1) AS risk_ms), c.now_ms, r.*, t.thresholds[l.tier + 1] AS threshold,
           t.thresholds[l.tier + 2] AS next_threshold, n.name, p.ends_ms AS period_ends_ms, p.next_ends_ms
    FROM last l
    JOIN clock c USING (member_id)
    CROSS JOIN rules_of_tiers r
    JOIN version_thresholds t ON c.now_ms >= t.from_ms AND c.now_ms < t.to_ms
    JOIN tier n ON n.v = t.v AND n.level = l.tier
    LEFT JOIN member_period p ON p.member_id = l.member_id AND c.now_ms >= p.begins_ms AND c.now_ms < p.ends_ms
), leaving AS (
    SELECT q.member_id, q.leaves_ms, sum(q.points) AS points
    FROM qualifying_step q JOIN known_until k USING (member_id)
    WHERE q.leaves_ms > k.until_ms GROUP BY ALL HAVING sum(q.points) <> 0
), left_after AS (
    SELECT p.member_id, l.leaves_ms,
           p.carrying - sum(l.points) OVER (PARTITION BY p.member_id ORDER BY l.leaves_ms) AS points
    FROM placed p JOIN leaving l USING (member_id) WHERE p.is_rolling
), falling AS (
    SELECT a.member_id, min(a.leaves_ms) AS falls_ms, arg_min(a.points, a.leaves_ms) AS points
    FROM left_after a JOIN placed p USING (member_id) WHERE a.points < p.threshold GROUP BY a.member_id
), looked_at AS (
    SELECT p.*, CASE WHEN p.risk_ms IS NOT NULL THEN p.threshold - p.qualifying
                     WHEN p.is_rolling THEN p.threshold - f.points
                     ELSE greatest(0, p.threshold - p.qualifying) END AS missing,
           CASE WHEN p.is_rolling THEN f.falls_ms ELSE p.period_ends_ms END AS look_ms,
           CASE WHEN p.is_rolling THEN f.falls_ms WHEN missing > 0 THEN p.period_ends_ms ELSE p.next_ends_ms END AS falls_ms,
           CASE WHEN NOT p.is_rolling THEN p.period_ends_ms ELSE (SELECT min(leaves_ms) FROM leaving l WHERE l.member_id = p.member_id) END AS moves_ms
    FROM placed p LEFT JOIN falling f USING (member_id)
)
SELECT member_id, name AS tier, qualifying,
       CASE WHEN lapses THEN missing END AS to_keep,
       CASE WHEN lapses THEN coalesce(risk_ms, look_ms) END AS keep_by,
       CASE WHEN lapses THEN coalesce(risk_ms, epoch_ms(timezone(zone, (
           timezone(zone, make_timestamptz(falls_ms * 1000))::DATE + grace_days::INTEGER)::TIMESTAMP))) END AS valid_until,
       CASE WHEN next_threshold IS NOT NULL THEN greatest(0, next_threshold - qualifying) END AS to_next,
       CASE WHEN next_threshold IS NOT NULL AND qualifying <> 0 THEN moves_ms END AS next_by
FROM (SELECT *, tier > 0 AND grace_days IS NOT NULL AS lapses FROM looked_at);
