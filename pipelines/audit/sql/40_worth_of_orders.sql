-- What each stage of each order is worth at each tier: exact fractions, floored once, then shared out.
--
-- All components are numerators over one denominator. `scale` is the number that makes every bonus of the version
-- whole (+25 % with scale 4 is 1), so with the rate "points for per_minor":
--     base       spent x points x unit
--     campaign   spent on its category x points x bonus x (unit / scale)
--     tier       (base, and when bonuses multiply the campaigns too) x bonus / scale
--     threshold  its points x denominator
--     denominator = per_minor x unit, with unit = scale when bonuses add up, scale x scale when they multiply.
-- 270.00 kept, 144.00 of it on trail at +100 %, tier +25 %: 270 + 67.5 + 144 = 481.5, floored to 481.
-- The points left after flooring each component go to the largest remainders, ties to the earlier component:
-- 270 + 67 + 144.

CREATE TABLE rated_stage AS
SELECT s.order_no, s.stage, o.placed_at, o.v, o.currency, r.points AS rate_points, v.scale, v.multiplicative,
       CASE WHEN v.multiplicative THEN v.scale * v.scale ELSE v.scale END AS unit,
       r.per_minor::HUGEINT * CASE WHEN v.multiplicative THEN v.scale * v.scale ELSE v.scale END AS denominator,
       coalesce(k.minor, 0)::HUGEINT AS spent
FROM stage s
JOIN order_now o USING (order_no)
JOIN version v USING (v)
JOIN rate r USING (v, currency)
LEFT JOIN (SELECT order_no, stage, sum(minor) AS minor FROM kept GROUP BY ALL) k USING (order_no, stage);

CREATE TABLE campaign_term AS
SELECT s.order_no, s.stage, c.rank, c.id AS rule_id,
       sum(k.minor) * s.rate_points * c.bonus * (s.unit // s.scale) AS numerator
FROM rated_stage s
JOIN campaign c ON c.v = s.v AND s.placed_at >= c.from_ms AND s.placed_at < c.to_ms
JOIN kept k ON k.order_no = s.order_no AND k.stage = s.stage AND (c.category IS NULL OR k.category = c.category)
GROUP BY s.order_no, s.stage, c.rank, c.id, s.rate_points, c.bonus, s.unit, s.scale
HAVING sum(k.minor) > 0;

-- The order of the components is BASE, TIER_BONUS, the campaigns, the thresholds, as the programme lists them.
CREATE TABLE term AS
WITH every AS (
    SELECT order_no, stage, NULL AS level, 0 AS rank, 'BASE' AS reason, 'base' AS rule_id,
           spent * rate_points * unit AS numerator
    FROM rated_stage
    UNION ALL
    SELECT s.order_no, s.stage, t.level, 1, 'TIER_BONUS', 'tier:' || t.name,
           (s.spent * s.rate_points * s.unit
            + CASE WHEN s.multiplicative THEN coalesce(c.numerator, 0) ELSE 0 END) // s.scale * t.bonus
    FROM rated_stage s
    JOIN tier t USING (v)
    LEFT JOIN (SELECT order_no, stage, sum(numerator) AS numerator FROM campaign_term GROUP BY ALL) c
    USING (order_no, stage)
    WHERE t.bonus > 0
    UNION ALL
    SELECT order_no, stage, NULL, 100 + rank, 'CAMPAIGN', rule_id, numerator FROM campaign_term
    UNION ALL
    SELECT s.order_no, s.stage, NULL, 10000 + b.rank, 'THRESHOLD', b.id, b.points * s.denominator
    FROM rated_stage s
    JOIN threshold_bonus b ON b.v = s.v AND b.currency = s.currency
     AND s.placed_at >= b.from_ms AND s.placed_at < b.to_ms AND s.spent >= b.from_minor
), at_each_tier AS (
    SELECT s.order_no, s.stage, t.level, e.rank, e.reason, e.rule_id,
           (e.numerator // s.denominator)::BIGINT AS low,
           (e.numerator % s.denominator) AS remainder,
           s.denominator
    FROM every e
    JOIN rated_stage s USING (order_no, stage)
    JOIN tier t ON t.v = s.v AND (e.level IS NULL OR e.level = t.level)
), left_over AS (
    SELECT *, (sum(remainder) OVER w // denominator)::BIGINT AS extra
    FROM at_each_tier
    WINDOW w AS (PARTITION BY order_no, stage, level)
)
SELECT order_no, stage, level, rank, reason, rule_id,
       low + CASE WHEN extra > 0 AND row_number() OVER (PARTITION BY order_no, stage, level
                                                        ORDER BY remainder DESC, rank) <= extra
                  THEN 1 ELSE 0 END AS points
FROM left_over;

CREATE TABLE worth AS
SELECT order_no, stage, level, sum(points)::BIGINT AS points,
       sum(points) FILTER (WHERE reason = 'BASE')::BIGINT AS base
FROM term
GROUP BY order_no, stage, level;
