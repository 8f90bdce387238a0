-- No lot ever takes more out of an account than it put there (those that points come from or are owed in apart).
-- over: SELECT count(DISTINCT (member_id, lot_id)) FROM held_ledger
WITH side AS (
    SELECT h.member_id, h.lot_id, h.sequence, h.to_account AS account, h.points, l.member_id AS booked_by
    FROM held_ledger h JOIN ledger l USING ("partition", "offset")
    UNION ALL
    SELECT h.member_id, h.lot_id, h.sequence, h.from_account, -h.points, l.member_id
    FROM held_ledger h JOIN ledger l USING ("partition", "offset")
), running AS (
    SELECT *, sum(points) OVER (PARTITION BY member_id, lot_id, account ORDER BY sequence) AS left_there,
           sum(points) OVER (PARTITION BY member_id, lot_id, account) AS left_in_all,
           min(booked_by) OVER (PARTITION BY member_id, lot_id) = max(booked_by) OVER (PARTITION BY member_id, lot_id) AS by_one
    FROM side WHERE account NOT IN ('ISSUED', 'DEBT', 'ADJUSTED', 'WRITTEN_OFF', 'ERASED')
)
SELECT DISTINCT member_id || ' ' || lot_id AS who,
       CASE WHEN by_one THEN 'has ' || left_there || ' in ' || account || ' after entry ' || sequence
            ELSE 'has ' || left_in_all || ' in ' || account || ' over all its members' END AS what
FROM running
WHERE CASE WHEN by_one THEN left_there ELSE left_in_all END < 0
