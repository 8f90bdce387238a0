-- A member's entries count from 1 without a gap.
-- over: SELECT count(DISTINCT member_id) FROM ledger
SELECT member_id || ' has ' || count(*) || ' entries, numbered ' || min(sequence) || ' to ' || max(sequence) AS what
FROM ledger GROUP BY member_id HAVING min(sequence) <> 1 OR max(sequence) <> count(*)
