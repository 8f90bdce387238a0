-- Every entry's own derivation leads to its points (looked at with --derivations).
-- over: SELECT count(*) FROM derived
WITH moved AS (
    SELECT transaction_id, lot_id,
           sum(CASE WHEN from_account = 'ISSUED' THEN points WHEN to_account = 'CLAWED_BACK' THEN -points ELSE 0 END) AS points,
           any_value(d.target - d.granted_before) AS derived
    FROM ledger JOIN derived d USING (topic, "partition", "offset")
    WHERE from_account = 'ISSUED' OR to_account = 'CLAWED_BACK'
    GROUP BY transaction_id, lot_id
)
SELECT entry_id AS who, problem AS what FROM derived JOIN ledger USING (topic, "partition", "offset")
WHERE problem IS NOT NULL
UNION ALL
SELECT transaction_id || ' ' || lot_id, 'moves ' || points || ' points, its derivation says ' || derived
FROM moved WHERE points <> derived
