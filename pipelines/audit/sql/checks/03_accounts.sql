-- No lot ever takes more out of an account than it put there (those that points come from or are owed in apart).
-- over: SELECT count(DISTINCT (member_id, lot_id)) FROM ledger
WITH side AS (
    SELECT member_id, lot_id, sequence, to_account AS account, points FROM ledger
    UNION ALL
    SELECT member_id, lot_id, sequence, from_account, -points FROM ledger
), running AS (
    SELECT *, sum(points) OVER (PARTITION BY member_id, lot_id, account ORDER BY sequence) AS left_there
    FROM side WHERE account NOT IN ('ISSUED', 'DEBT', 'ADJUSTED', 'WRITTEN_OFF')
)
SELECT member_id || ' ' || lot_id AS who, 'has ' || left_there || ' in ' || account || ' after entry ' || sequence AS what
FROM running
WHERE left_there < 0
