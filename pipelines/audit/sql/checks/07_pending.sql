-- Of every lot, the points are pending until their instant, then active, and expired when their months are over.
-- over: SELECT count(*) FROM expected_lot
SELECT member_id || ' ' || lot_id AS who,
       'has (pending, active, expired) ' || [l.pending, l.active, l.expired]::VARCHAR
       || ', should have ' || [e.pending, e.active, e.expired]::VARCHAR AS what
FROM ledger_lot l JOIN expected_lot e USING (member_id, lot_id)
WHERE l.held = e.held AND [l.pending, l.active, l.expired] <> [e.pending, e.active, e.expired]
