-- Who has a current row, and which record it is, is what the topic told last, as far as the table has read.
-- over: SELECT (SELECT count(*) FROM balances) + (SELECT count(*) FROM tier_progress)
WITH told AS (
    SELECT 'balances' AS name, * FROM told_balances UNION ALL SELECT 'tier_progress', * FROM told_tier_progress),
last AS (
    SELECT told.* FROM told QUALIFY row_number() OVER (
        PARTITION BY name, member_id ORDER BY source_partition, source_offset DESC) = 1),
read AS (SELECT last.*, source_offset < until AS has FROM last JOIN read_upto USING (name, source_partition)),
kept AS (
    SELECT 'balances' AS name, member_id, source_partition, source_offset FROM balances
    UNION ALL SELECT 'tier_progress', member_id, source_partition, source_offset FROM tier_progress)
SELECT name || ' of ' || member_id || ' is record ' || coalesce(CAST(kept.source_offset AS VARCHAR), 'none') || ', the last is '
       || CASE WHEN removed THEN 'its removal' ELSE coalesce(CAST(read.source_offset AS VARCHAR), 'none') END AS what
FROM read FULL JOIN kept USING (name, member_id)
WHERE coalesce(has, TRUE) AND (removed IS NOT FALSE) = (kept.source_offset IS NOT NULL)
   OR has AND NOT removed AND kept.source_offset <> read.source_offset
