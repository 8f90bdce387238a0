-- What a cancellation, release or time-out gives back goes to the lots that it came from, once.
-- over: SELECT count(*) FROM ledger WHERE reason IN ('REDEMPTION', 'RESERVATION', 'REVERSAL')
WITH subject AS (
    SELECT DISTINCT transaction_id, regexp_extract(transaction_id, '/command:(.*)$', 1) AS command, subject_id
    FROM command_result WHERE status = 'ACCEPTED' AND subject_id IS NOT NULL
), side AS (
    SELECT l.member_id, l.lot_id, l.recorded_at, l.sequence, l.points, l.from_account, l.to_account,
           coalesce(s.subject_id, e.subject_id, regexp_extract(l.transaction_id, '/timeout:(.*)@[0-9]+$', 1)) AS subject_id
    FROM held_ledger l
    LEFT JOIN subject s USING (transaction_id)
    LEFT JOIN (SELECT command, any_value(subject_id) AS subject_id FROM subject GROUP BY command) e
        ON s.transaction_id IS NULL AND e.command = regexp_extract(l.transaction_id, '/command:(.*)$', 1)
    WHERE l.reason IN ('REDEMPTION', 'RESERVATION', 'REVERSAL')
), running AS (
    SELECT *, sum(CASE WHEN from_account = 'ACTIVE' THEN points WHEN to_account = 'ACTIVE' THEN -points ELSE 0 END)
              OVER (PARTITION BY member_id, subject_id, lot_id ORDER BY recorded_at, sequence) AS out,
           sum(CASE WHEN from_account = 'ACTIVE' THEN points ELSE 0 END) OVER (PARTITION BY member_id, subject_id, lot_id) AS taken
    FROM side
)
SELECT member_id || ' ' || subject_id AS who, 'has ' || out || ' of ' || taken || ' out of ' || lot_id || ' after entry ' || sequence AS what
FROM running WHERE out < 0 OR (to_account = 'ACTIVE' AND out <> 0)
