-- One row a member and day on which points moved: the day's moves, and what the member had at its end.
-- @active: Points that could be spent at the end of the day.
-- @pending: Points that waited for their instant at the end of the day.
-- @reserved: Points held by reservations at the end of the day.
-- @debt: Points owed at the end of the day.
SELECT member_id, any_value(market) AS market, effective_on AS day,
       CAST(sum(issued) AS BIGINT) AS issued, CAST(sum(taken_back) AS BIGINT) AS taken_back,
       CAST(sum(CASE WHEN to_account = 'REDEEMED' THEN points WHEN from_account = 'REDEEMED' THEN -points ELSE 0 END)
           AS BIGINT) AS redeemed,
       CAST(sum(CASE WHEN to_account = 'EXPIRED' THEN points WHEN from_account = 'EXPIRED' THEN -points ELSE 0 END)
           AS BIGINT) AS expired,
       CAST(sum(sum(to_active)) OVER so_far AS BIGINT) AS active,
       CAST(sum(sum(to_pending)) OVER so_far AS BIGINT) AS pending,
       CAST(sum(sum(to_reserved)) OVER so_far AS BIGINT) AS reserved,
       CAST(sum(sum(to_debt)) OVER so_far AS BIGINT) AS debt
FROM fact_points GROUP BY member_id, effective_on
WINDOW so_far AS (PARTITION BY member_id ORDER BY effective_on);
