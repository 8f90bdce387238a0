-- Nothing is of a member, or of an order, that the warehouse does not know.
-- over: SELECT (SELECT count(DISTINCT member_id) FROM ledger) + (SELECT count(DISTINCT lot_id) FROM ledger)
SELECT 'member ' || member_id || ' of ' || source || ' is not among the members' AS what FROM (
    SELECT DISTINCT member_id, 'the ledger' AS source FROM ledger
    UNION SELECT DISTINCT member_id, 'the balances' FROM balances WHERE lifetime > 0
    UNION SELECT DISTINCT member_id, 'the triggers' FROM triggers)
ANTI JOIN members USING (member_id)
UNION ALL
SELECT 'order ' || order_id || ' of the ledger is not among the orders'
FROM (SELECT DISTINCT order_id FROM fact_points WHERE order_id IS NOT NULL AND reason = 'BASE')
ANTI JOIN orders USING (order_id)
