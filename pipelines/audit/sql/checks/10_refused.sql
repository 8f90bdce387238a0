-- Every record on a fact topic that cannot be a fact stands in the dead letters.
-- over: SELECT count(*) FROM unreadable
SELECT topic || ' ' || "partition" || '/' || "offset" AS who, 'is in no dead letter: ' || problem AS what
FROM unreadable ANTI JOIN dead_letter USING (topic, "partition", "offset")
