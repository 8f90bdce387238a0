-- The current balance of each member is the last that history has, and its points are the ledger's.
-- over: SELECT count(*) FROM balances
WITH last AS (
    SELECT * FROM balances_history
    QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY source_partition, source_offset DESC) = 1),
booked AS (SELECT member_id, sum(to_active) AS active, sum(to_pending) AS pending FROM fact_points GROUP BY member_id)
SELECT b.member_id || ' has ' || b.active || ' active, history says ' || coalesce(CAST(l.active AS VARCHAR), 'nothing') AS what
FROM balances b LEFT JOIN last l USING (member_id)
WHERE l.source_offset = b.source_offset AND l.active IS DISTINCT FROM b.active OR l.source_offset IS NULL
UNION ALL
SELECT b.member_id || ' has ' || b.active || ' active and ' || b.pending || ' pending, the ledger ' || k.active || ' and ' || k.pending
FROM balances b JOIN booked k USING (member_id)
JOIN (SELECT member_id, max(sequence) AS sequence FROM ledger GROUP BY member_id) s USING (member_id)
WHERE s.sequence = b.sequence AND (k.active <> b.active OR k.pending <> b.pending)
