-- Roll-forward of what the programme owes its members (active, pending and reserved points), a row a market and day on
-- which points moved: opening + all that moved = closing. What is owed by members is `debt`, beside it.
-- @repaid: Points that paid back what members owed.
-- @other: Moves between members of a merge, and what was written off.
-- @debt_closing: Points that members owe at the end of the day.
-- @breakage_bp: Of points redeemed or expired on the 365 days up to this one, the share that expired, in basis points.
-- @breakage_points: That share of the closing: what will not be redeemed if members go on as in those days.
WITH moves AS (
    SELECT market, effective_on AS day,
           sum(to_liability) AS net,
           sum(CASE WHEN 'ISSUED' IN (from_account, to_account) THEN to_liability ELSE 0 END) AS issued,
           sum(CASE WHEN 'REDEEMED' IN (from_account, to_account) THEN to_liability ELSE 0 END) AS redeemed,
           sum(CASE WHEN 'EXPIRED' IN (from_account, to_account) THEN to_liability ELSE 0 END) AS expired,
           sum(CASE WHEN 'CLAWED_BACK' IN (from_account, to_account) THEN to_liability ELSE 0 END) AS clawed_back,
           sum(CASE WHEN 'ADJUSTED' IN (from_account, to_account) THEN to_liability ELSE 0 END) AS adjusted,
           sum(CASE WHEN 'ERASED' IN (from_account, to_account) THEN to_liability ELSE 0 END) AS erased,
           sum(CASE WHEN 'DEBT' IN (from_account, to_account) THEN to_liability ELSE 0 END) AS repaid,
           sum(CASE WHEN from_account IN ('TRANSFERRED', 'WRITTEN_OFF') OR to_account IN ('TRANSFERRED', 'WRITTEN_OFF')
               THEN to_liability ELSE 0 END) AS other,
           sum(to_debt) AS debt
    FROM fact_points GROUP BY ALL),
rolled AS (
    SELECT *, sum(net) OVER so_far AS owed, sum(debt) OVER so_far AS owing,
           CAST(greatest(0, -sum(expired) OVER year) AS BIGINT) AS lapsed,
           CAST(greatest(0, -sum(redeemed) OVER year) AS BIGINT) AS spent
    FROM moves
    WINDOW so_far AS (PARTITION BY market ORDER BY day),
           year AS (PARTITION BY market ORDER BY day RANGE BETWEEN INTERVAL 364 DAYS PRECEDING AND CURRENT ROW))
SELECT market, day,
       CAST(owed - net AS BIGINT) AS opening,
       CAST(issued AS BIGINT) AS issued, CAST(redeemed AS BIGINT) AS redeemed, CAST(expired AS BIGINT) AS expired,
       CAST(clawed_back AS BIGINT) AS clawed_back, CAST(adjusted AS BIGINT) AS adjusted,
       CAST(erased AS BIGINT) AS erased, CAST(repaid AS BIGINT) AS repaid, CAST(other AS BIGINT) AS other,
       CAST(owed AS BIGINT) AS closing, CAST(owing AS BIGINT) AS debt_closing,
       lapsed * 10000 // nullif(lapsed + spent, 0) AS breakage_bp,
       CAST(greatest(0, owed) AS BIGINT) * lapsed // nullif(lapsed + spent, 0) AS breakage_points
FROM rolled;
