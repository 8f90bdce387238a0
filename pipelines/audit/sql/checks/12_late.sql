-- Refused as LATE are exactly the facts recorded later than the horizon after they occurred, of members who were not erased.
-- over: SELECT count(*) FROM fact WHERE NOT is_command
SELECT topic || ' ' || "partition" || '/' || "offset" AS who,
       'was recorded ' || round((f.recorded_at - f.occurred_at) / 86400000.0, 3) || ' days after it occurred, '
       || coalesce('refused as ' || d.error_class, 'not refused') AS what
FROM fact f LEFT JOIN dead_letter d USING (topic, "partition", "offset") ANTI JOIN ended_account USING (member_id)
WHERE NOT f.is_command AND (f.recorded_at - f.occurred_at > (SELECT lateness_ms FROM programme))
      <> (coalesce(d.error_class, '') = 'LATE')
  AND coalesce(d.error_class, 'LATE') = 'LATE'
