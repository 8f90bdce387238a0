-- Every order granted once and never touched was booked by component as recomputed.
-- over: SELECT count(*) FROM untouched_order
WITH booked AS (
    SELECT member_id, lot_id, reason, sum(points) AS points
    FROM held_ledger SEMI JOIN untouched_order USING (member_id, lot_id)
    WHERE from_account = 'ISSUED'
    GROUP BY ALL
), expected AS (
    SELECT * FROM expected_component SEMI JOIN untouched_order USING (member_id, lot_id)
)
SELECT member_id || ' ' || lot_id AS who,
       reason || ' was booked with ' || coalesce(b.points, 0) || ', recomputed ' || coalesce(e.points, 0) AS what
FROM booked b FULL JOIN expected e USING (member_id, lot_id, reason)
WHERE coalesce(b.points, 0) <> coalesce(e.points, 0)
