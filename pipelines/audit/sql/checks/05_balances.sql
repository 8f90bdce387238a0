-- Every member's last balance is the total of their ledger entries; its lifetime, what was ever granted to their lots.
-- over: SELECT count(DISTINCT member_id) FROM balance
WITH side AS (
    SELECT member_id, sequence, to_account AS account, points FROM ledger
    UNION ALL
    SELECT member_id, sequence, from_account, -points FROM ledger
), total AS (
    SELECT member_id, max(sequence) AS sequence,
           coalesce(sum(points) FILTER (WHERE account = 'ACTIVE'), 0) AS active,
           coalesce(sum(points) FILTER (WHERE account = 'PENDING'), 0) AS pending,
           coalesce(sum(points) FILTER (WHERE account = 'RESERVED'), 0) AS reserved,
           coalesce(-sum(points) FILTER (WHERE account = 'DEBT'), 0) AS debt
    FROM side GROUP BY member_id
), granted AS (
    SELECT member_id, sum(held) AS lifetime FROM ledger_lot GROUP BY member_id
), last AS (
    SELECT * FROM balance QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY "partition", "offset" DESC) = 1
), compared AS (
    SELECT coalesce(t.member_id, b.member_id) AS member_id,
           b.member_id IS NULL AS missing,
           [b.sequence, b.active, b.pending, b.reserved, b.debt, b.lifetime] AS said,
           [coalesce(t.sequence, 0), coalesce(t.active, 0), coalesce(t.pending, 0), coalesce(t.reserved, 0),
            coalesce(t.debt, 0), coalesce(g.lifetime, 0)] AS made
    FROM total t FULL JOIN last b USING (member_id) LEFT JOIN granted g USING (member_id) ANTI JOIN ended_account USING (member_id)
)
SELECT member_id AS who,
       CASE WHEN missing THEN 'has ledger entries and no balance'
            ELSE 'says (sequence, active, pending, reserved, debt, lifetime) ' || said::VARCHAR || ', the entries make ' || made::VARCHAR END AS what
FROM compared
WHERE missing OR said IS DISTINCT FROM made
