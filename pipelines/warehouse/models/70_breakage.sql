-- What became of the points of each month in which they became active, and what share of it will never be used.
-- Method: of points whose end has been reached, the share that expired (`expired` / `settled`); no guess is made of
-- points that can still be spent.
-- @month: The month in which the points became active.
-- @activated: Points that became active.
-- @expired: Of them, points that expired.
-- @used: Of them, points redeemed, taken back, or otherwise gone before their end.
-- @open: Of them, points that can still be spent or are reserved.
-- @breakage: expired / (expired + used); null while nothing has ended.
WITH lots AS (
    SELECT member_id, lot_id,
           date_trunc('month', min(effective_at) FILTER (to_account = 'ACTIVE')) AS month,
           sum(greatest(to_active, 0)) FILTER (from_account IN ('PENDING', 'ISSUED', 'ADJUSTED')) AS activated,
           sum(CASE WHEN to_account = 'EXPIRED' THEN points WHEN from_account = 'EXPIRED' THEN -points ELSE 0 END) AS expired,
           sum(to_active + to_reserved) AS open
    FROM fact_points GROUP BY ALL)
SELECT CAST(month AS DATE) AS month, CAST(sum(activated) AS BIGINT) AS activated, CAST(sum(expired) AS BIGINT) AS expired,
       CAST(sum(activated) - sum(expired) - sum(open) AS BIGINT) AS used, CAST(sum(open) AS BIGINT) AS open,
       sum(expired) / nullif(sum(activated) - sum(open), 0) AS breakage
FROM lots WHERE activated > 0 GROUP BY ALL;
