-- An accepted command moved what it says, and had it; a refused one moved nothing, and INSUFFICIENT_POINTS is true.
-- over: SELECT count(DISTINCT (member_id, command_id)) FROM command_result
WITH answer AS (
    SELECT DISTINCT ON (member_id, command_id) * FROM command_result
), moved AS (
    SELECT member_id, transaction_id, sum(points) AS points, min(sequence) AS first
    FROM ledger
    WHERE reason IN ('REDEMPTION', 'RESERVATION', 'REVERSAL', 'AGENT') AND transaction_id LIKE '%/command:%'
    GROUP BY ALL
), before AS (
    SELECT m.*, coalesce(l.active_after, 0) AS active
    FROM moved m LEFT JOIN ledger l ON l.member_id = m.member_id AND l.sequence = m.first - 1
), compared AS (
    SELECT member_id || ' ' || command_id AS who, a.*, b.points AS moved, b.active AS had,
           kind IN ('REDEEM', 'RESERVE') OR (kind = 'ADJUST' AND points_asked < 0) AS takes
    FROM answer a FULL JOIN before b USING (member_id, transaction_id)
)
SELECT coalesce(who, transaction_id) AS who,
       CASE WHEN command_id IS NULL THEN 'moved points and has no answer'
            WHEN status = 'ACCEPTED' AND points_moved IS DISTINCT FROM moved THEN 'says ' || points_moved || ' moved, the ledger ' || coalesce(moved, 0)
            WHEN status = 'ACCEPTED' AND takes AND abs(points_asked) > active_before THEN 'took ' || abs(points_asked) || ' of ' || active_before
            WHEN status = 'ACCEPTED' AND active_before <> had THEN 'says ' || active_before || ' were active, the ledger ' || had
            WHEN refusal = 'INSUFFICIENT_POINTS' AND abs(points_asked) <= active_before THEN 'was refused ' || points_asked || ' of ' || active_before
            WHEN status <> 'ACCEPTED' AND points_moved <> 0 THEN 'is refused and says ' || points_moved || ' moved'
       END AS what
FROM compared
WHERE what IS NOT NULL
