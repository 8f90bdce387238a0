-- Every entry id stands in the ledger once.
-- over: SELECT count(*) FROM ledger
SELECT entry_id AS who, 'stands ' || count(*) || ' times, at offsets ' || string_agg("partition" || '/' || "offset", ', ') AS what
FROM ledger
GROUP BY entry_id
HAVING count(*) > 1
