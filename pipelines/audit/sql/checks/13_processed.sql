-- Every record on a fact topic, and all that one account sends another, has been processed: none stands behind what the worker's group has committed.
-- over: SELECT count(*) FROM committed
SELECT topic || ' ' || "partition" AS who,
       count(*) || ' records wait to be processed, from offset ' || min("offset") AS what
FROM (
    SELECT topic, "partition", "offset" FROM fact
    UNION ALL
    SELECT topic, "partition", "offset" FROM unreadable
    UNION ALL
    SELECT topic, "partition", "offset" FROM handover
) f
LEFT JOIN committed c USING (topic, "partition")
WHERE f."offset" >= coalesce(c.next_offset, 0) AND EXISTS (FROM committed)
GROUP BY ALL
