-- The first step, after a member's latest promotion, at which the qualifying points reach the next tier's threshold;
-- the member rises at once to the highest tier reached. A tier once reached is kept.

INSERT INTO promotion
SELECT q.member_id, q.at_ms, q.order_id, q.step, max(t.level), any_value(q.qualifying)
FROM qualifying q
JOIN (
    SELECT member_id, max(level) AS level, arg_max(at_ms, level) AS at_ms,
           arg_max(order_id, level) AS order_id, arg_max(step, level) AS step
    FROM promotion GROUP BY member_id
) p USING (member_id)
JOIN version v ON q.at_ms >= v.from_ms AND q.at_ms < v.to_ms
JOIN tier t ON t.v = v.v AND t.level > p.level AND q.qualifying >= t.threshold
WHERE (q.at_ms, q.order_id, q.step) > (p.at_ms, p.order_id, p.step)
GROUP BY q.member_id, q.at_ms, q.order_id, q.step
QUALIFY row_number() OVER (PARTITION BY q.member_id ORDER BY q.at_ms, q.order_id, q.step) = 1;
