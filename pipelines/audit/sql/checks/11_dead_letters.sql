-- Every dead letter names one record of a fact topic, once, and carries its exact bytes.
-- over: SELECT count(*) FROM dead_letter
SELECT topic || ' ' || "partition" || '/' || "offset" AS who, 'has ' || count(*) || ' dead letters' AS what
FROM dead_letter GROUP BY ALL HAVING count(*) > 1
UNION ALL
SELECT d.topic || ' ' || d."partition" || '/' || d."offset",
       CASE WHEN b."offset" IS NULL THEN 'is not on its topic' ELSE 'differs from the record on its topic' END
FROM dead_letter d LEFT JOIN dead_bytes b USING (topic, "partition", "offset")
WHERE b."offset" IS NULL OR d."value" IS DISTINCT FROM b."value" OR d."key" IS DISTINCT FROM b."key"
