-- Every member's entries count from 1 without a gap, and carry the totals that they lead to.
-- over: SELECT count(*) FROM ledger
WITH chain AS (
    SELECT member_id, sequence, entry_id, active_after, pending_after,
           row_number() OVER place AS expected,
           sum(CASE WHEN to_account = 'ACTIVE' THEN points WHEN from_account = 'ACTIVE' THEN -points ELSE 0 END) OVER place AS active,
           sum(CASE WHEN to_account = 'PENDING' THEN points WHEN from_account = 'PENDING' THEN -points ELSE 0 END) OVER place AS pending
    FROM ledger
    WINDOW place AS (PARTITION BY member_id ORDER BY "partition", "offset" ROWS UNBOUNDED PRECEDING)
), broken AS (
    SELECT member_id, sequence, expected,
           CASE WHEN sequence <> expected THEN 'is number ' || sequence || ' where ' || expected || ' should stand: ' || entry_id
                WHEN active_after <> active THEN 'entry ' || sequence || ' says ' || active_after || ' active, the entries make ' || active
                WHEN pending_after <> pending THEN 'entry ' || sequence || ' says ' || pending_after || ' pending, the entries make ' || pending
           END AS what
    FROM chain
)
SELECT member_id AS who, what
FROM broken WHERE what IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY expected) = 1
