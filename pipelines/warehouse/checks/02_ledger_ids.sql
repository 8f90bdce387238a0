-- No two rows of the ledger have the same entry_id.
-- over: SELECT count(*) FROM ledger
SELECT entry_id || ' stands ' || count(*) || ' times' AS what FROM ledger GROUP BY entry_id HAVING count(*) > 1
