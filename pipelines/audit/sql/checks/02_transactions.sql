-- Every transaction moves points between two known accounts of one member, and sums to zero.
-- over: SELECT count(DISTINCT transaction_id) FROM ledger
WITH known AS (
    SELECT unnest(['ISSUED', 'PENDING', 'ACTIVE', 'RESERVED', 'REDEEMED', 'EXPIRED', 'CLAWED_BACK', 'DEBT', 'ADJUSTED',
                   'WRITTEN_OFF', 'ERASED', 'TRANSFERRED']) AS account
), side AS (
    SELECT transaction_id, member_id, to_account AS account, points FROM ledger
    UNION ALL
    SELECT transaction_id, member_id, from_account, -points FROM ledger
)
SELECT transaction_id AS who, 'is off zero by ' || sum(points) AS what
FROM side SEMI JOIN known USING (account) GROUP BY transaction_id HAVING sum(points) <> 0
UNION ALL
SELECT transaction_id, 'has members ' || string_agg(DISTINCT member_id, ', ')
FROM ledger GROUP BY transaction_id HAVING count(DISTINCT member_id) > 1
UNION ALL
SELECT entry_id, 'moves ' || points || ' points from ' || from_account || ' to ' || to_account
FROM ledger
WHERE points <= 0 OR from_account = to_account
   OR from_account NOT IN (SELECT account FROM known) OR to_account NOT IN (SELECT account FROM known)
