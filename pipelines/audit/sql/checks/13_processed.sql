-- Every record on a fact topic has been processed: none stands behind what the worker's group has committed.
-- over: SELECT count(*) FROM committed
SELECT topic || ' ' || "partition" AS who,
       count(*) || ' records wait to be processed, from offset ' || min("offset") AS what
FROM (
    SELECT topic, "partition", "offset" FROM fact
    UNION ALL
    SELECT topic, "partition", "offset" FROM unreadable
) f
LEFT JOIN committed c USING (topic, "partition")
WHERE f."offset" >= coalesce(c.next_offset, 0) AND EXISTS (FROM committed)
GROUP BY ALL
