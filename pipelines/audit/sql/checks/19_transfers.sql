-- What was transferred out of one member's lot came into the same lot of another's, when all that is under way has come.
-- over: SELECT count(*) FROM ledger WHERE 'TRANSFERRED' IN (from_account, to_account)
SELECT member_id || ' ' || lot_id AS who, points || ' points of it are transferred, and nowhere' AS what
FROM (
    SELECT member_id, lot_id, sum(CASE WHEN to_account = 'TRANSFERRED' THEN points ELSE -points END) AS points
    FROM held_ledger WHERE 'TRANSFERRED' IN (from_account, to_account) GROUP BY ALL
)
WHERE points <> 0
