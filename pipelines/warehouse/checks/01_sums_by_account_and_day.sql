-- Points by account and day are what the ledger's topic says, up to where the table has read.
-- over: SELECT count(DISTINCT CAST(effective_at AS DATE)) FROM ledger
WITH has AS (
    SELECT epoch_ms(effective_at) // 86400000 AS day, account, sum(moved) AS points FROM (
        SELECT effective_at, to_account AS account, points AS moved FROM ledger
        UNION ALL SELECT effective_at, from_account, -points FROM ledger) GROUP BY ALL),
read AS (SELECT source_partition, max(source_offset) AS last FROM ledger GROUP BY ALL),
says AS (
    SELECT effective_at // 86400000 AS day, account, sum(moved) AS points FROM (
        SELECT t.effective_at, to_account AS account, t.points AS moved, t.source_offset, t.source_partition FROM told_ledger t
        UNION ALL SELECT effective_at, from_account, -points, source_offset, source_partition FROM told_ledger) moves
    JOIN read USING (source_partition) WHERE moves.source_offset <= read.last GROUP BY ALL)
SELECT account || ' on ' || CAST(DATE '1970-01-01' + CAST(coalesce(has.day, says.day) AS INTEGER) AS VARCHAR) || ': '
       || coalesce(has.points, 0) || ' in the warehouse, ' || coalesce(says.points, 0) || ' on the topic' AS what
FROM has FULL JOIN says USING (day, account) WHERE coalesce(has.points, 0) <> coalesce(says.points, 0)
