-- An accepted command moved what it says, and had it; a refused one moved nothing, and INSUFFICIENT_POINTS is true.
-- over: SELECT count(DISTINCT (member_id, command_id)) FROM command_result
WITH answer AS (
    SELECT DISTINCT ON (member_id, command_id) * FROM command_result
), moved AS (
    SELECT member_id, transaction_id, regexp_extract(transaction_id, '/command:(.*)$', 1) AS command_id, sum(points) AS points, min(sequence) AS first
    FROM ledger
    WHERE reason IN ('REDEMPTION', 'RESERVATION', 'REVERSAL', 'AGENT') AND transaction_id LIKE '%/command:%'
    GROUP BY ALL
), before AS (
    SELECT m.*, coalesce(l.active_after, 0) AS active
    FROM moved m LEFT JOIN ledger l ON l.member_id = m.member_id AND l.sequence = m.first - 1
), elsewhere AS ( -- of what had been one person's: moved by the same command, in the other's ledger
    SELECT command_id, sum(points) AS points FROM moved ANTI JOIN answer USING (transaction_id) GROUP BY command_id
), compared AS (
    SELECT coalesce(a.member_id || ' ' || a.command_id, b.transaction_id) AS who, a.*, b.points AS moved, b.active AS had,
           b.points IS NULL AS nothing, coalesce(e.points, 0) AS elsewhere,
           a.kind IN ('REDEEM', 'RESERVE') OR (a.kind = 'ADJUST' AND a.points_asked < 0) AS takes
    FROM answer a
    LEFT JOIN before b USING (transaction_id)
    LEFT JOIN elsewhere e ON e.command_id = a.command_id AND a.status = 'ACCEPTED'
)
SELECT who,
       CASE WHEN status = 'ACCEPTED' AND points_moved <> coalesce(moved, 0) + elsewhere
            THEN 'says ' || points_moved || ' moved, the ledger ' || coalesce(moved, 0) + elsewhere
            WHEN status = 'ACCEPTED' AND takes AND abs(points_asked) > active_before THEN 'took ' || abs(points_asked) || ' of ' || active_before
            WHEN status = 'ACCEPTED' AND active_before <> had THEN 'says ' || active_before || ' were active, the ledger ' || had
            WHEN refusal = 'INSUFFICIENT_POINTS' AND abs(points_asked) <= active_before THEN 'was refused ' || points_asked || ' of ' || active_before
            WHEN status <> 'ACCEPTED' AND points_moved <> 0 THEN 'is refused and says ' || points_moved || ' moved'
       END AS what
FROM compared
WHERE what IS NOT NULL
UNION ALL
SELECT transaction_id, 'moved points and has no answer'
FROM moved ANTI JOIN answer USING (transaction_id)
ANTI JOIN (SELECT command_id FROM answer WHERE status = 'ACCEPTED') other USING (command_id)
