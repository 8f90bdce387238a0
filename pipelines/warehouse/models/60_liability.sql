-- Roll-forward of what the programme owes its members (active, pending and reserved points), a row a market and day on
-- which points moved: opening + all that moved = closing. What is owed by members is `debt`, beside it.
-- @repaid: Points that paid back what members owed.
-- @other: Moves between members of a merge, and what was written off.
-- @debt_closing: Points that members owe at the end of the day.
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
    FROM fact_points GROUP BY ALL)
SELECT market, day,
       CAST(sum(net) OVER so_far - net AS BIGINT) AS opening,
       CAST(issued AS BIGINT) AS issued, CAST(redeemed AS BIGINT) AS redeemed, CAST(expired AS BIGINT) AS expired,
       CAST(clawed_back AS BIGINT) AS clawed_back, CAST(adjusted AS BIGINT) AS adjusted,
       CAST(erased AS BIGINT) AS erased, CAST(repaid AS BIGINT) AS repaid, CAST(other AS BIGINT) AS other,
       CAST(sum(net) OVER so_far AS BIGINT) AS closing,
       CAST(sum(debt) OVER so_far AS BIGINT) AS debt_closing
FROM moves WINDOW so_far AS (PARTITION BY market ORDER BY day);
