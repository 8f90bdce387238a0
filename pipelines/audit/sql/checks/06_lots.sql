-- Every lot holds the points that the facts are worth, recomputed without the pipeline's own rules.
-- over: SELECT count(*) FROM expected_lot
SELECT member_id || ' ' || lot_id AS who,
       'holds ' || coalesce(l.held, 0) || ', the facts are worth ' || coalesce(e.held, 0) AS what
FROM ledger_lot l FULL JOIN expected_lot e USING (member_id, lot_id)
WHERE coalesce(l.held, 0) <> coalesce(e.held, 0)
