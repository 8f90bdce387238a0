-- Every member's tier, occasion by occasion: up at once; at risk when time takes what carried it, lost when grace ends,
-- so many levels at most; what a return takes is lost at once, unless a grace that it had ended runs still.
-- The end of a grace is an occasion of its own, before the steps of its instant.

CREATE OR REPLACE TABLE standing AS
WITH RECURSIVE fold AS (
    SELECT m.member_id, 0::BIGINT AS turn, 0::BIGINT AS number, m.enrolled_at AS at_ms, 0::BIGINT AS tier_before, 0::BIGINT AS tier,
           NULL::BIGINT AS risk_ms, NULL::BIGINT AS grace_ms, 0::BIGINT AS qualifying, 0::BIGINT AS carrying,
           NULL::BIGINT AS order_no, NULL::BIGINT AS step
    FROM member_now m
    UNION ALL
    SELECT member_id, turn, number, at_ms, tier_before,
           CASE WHEN falls AND NOT resumes THEN least(tier, reach) WHEN rises THEN reach ELSE tier END,
           CASE WHEN resumes THEN grace_ms WHEN rises OR carried THEN NULL WHEN begins_risk THEN new_risk_ms ELSE risk_ms END,
           CASE WHEN rises THEN NULL WHEN begins_risk THEN new_risk_ms ELSE grace_ms END,
           qualifying, carrying, order_no, step
    FROM (
        SELECT *, carried_by_time AND reach > tier AS rises,
               carried_by_time AND reach >= tier AS carried,
               is_time AND reach < tier AND risk_ms IS NULL AND grace_days IS NOT NULL
                   AND (is_rolling OR period_ends OR thresholds_change) AS begins_risk,
               NOT carried_by_time AND reach < tier AND thresholds[tier + 1] <= carried_before AS falls,
               falls AND coalesce(at_ms < grace_ms, FALSE) AS resumes,
               greatest(at_ms, epoch_ms(timezone(zone, (timezone(zone, make_timestamptz(at_ms * 1000))::DATE
                                                        + grace_days::INTEGER)::TIMESTAMP))) AS new_risk_ms
        FROM (
            SELECT * EXCLUDE (tier, risk_ms, grace_ms),
                   CASE WHEN lapses THEN greatest(tier - levels_down, least(tier, reach)) ELSE tier END AS tier,
                   CASE WHEN NOT lapses THEN risk_ms END AS risk_ms,
                   CASE WHEN NOT lapses THEN grace_ms END AS grace_ms,
                   is_time OR points >= 0 AS carried_by_time
            FROM (
                SELECT n.*, r.is_rolling, r.grace_days, r.levels_down, r.zone, t.thresholds,
                       n.is_time AND coalesce(n.risk_ms = n.at_ms, FALSE) AS lapses,
                       len(list_filter(t.thresholds, lambda threshold: threshold <= n.carrying)) - 1 AS reach
                FROM (
                    SELECT f.member_id, f.turn + 1 AS turn, f.tier AS tier_before, f.tier, f.risk_ms, f.grace_ms,
                           f.carrying AS carried_before,
                           f.risk_ms IS NOT NULL AND f.risk_ms <= u.until_ms
                               AND (o.number IS NULL OR f.risk_ms < o.at_ms OR (f.risk_ms = o.at_ms AND o.kind = 1)) AS grace_first,
                           CASE WHEN grace_first THEN f.number ELSE o.number END AS number,
                           CASE WHEN grace_first THEN f.risk_ms ELSE o.at_ms END AS at_ms,
                           grace_first OR o.kind = 0 AS is_time,
                           CASE WHEN grace_first THEN 0 ELSE o.points END AS points,
                           NOT grace_first AND o.period_ends AS period_ends,
                           NOT grace_first AND o.thresholds_change AS thresholds_change,
                           CASE WHEN grace_first THEN f.qualifying ELSE o.qualifying END AS qualifying,
                           CASE WHEN grace_first THEN f.carrying ELSE o.carrying END AS carrying,
                           CASE WHEN NOT grace_first THEN o.order_no END AS order_no,
                           CASE WHEN NOT grace_first THEN o.step END AS step
                    FROM fold f
                    JOIN known_until u USING (member_id)
                    LEFT JOIN occasion o ON o.member_id = f.member_id AND o.number = f.number + 1
                    WHERE o.number IS NOT NULL OR f.risk_ms <= u.until_ms
                ) n
                CROSS JOIN rules_of_tiers r
                JOIN version_thresholds t ON n.at_ms >= t.from_ms AND n.at_ms < t.to_ms
            )
        )
    )
)
SELECT * FROM fold;

CREATE OR REPLACE TABLE tier_found AS
SELECT o.order_no, coalesce(s.tier_before, 0) AS level
FROM order_now o LEFT JOIN (SELECT order_no, tier_before FROM standing WHERE step = 0) s USING (order_no)
WHERE o.enrolled_then;
