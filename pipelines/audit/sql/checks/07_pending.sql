-- Of every lot, the points are pending until their instant and active from then on.
-- over: SELECT count(*) FROM expected_lot
SELECT member_id || ' ' || lot_id AS who,
       'has ' || l.pending || ' pending and ' || l.active || ' active, should have ' || e.pending || ' and ' || e.active AS what
FROM ledger_lot l JOIN expected_lot e USING (member_id, lot_id)
WHERE l.held = e.held AND (l.pending <> e.pending OR l.active <> e.active)
