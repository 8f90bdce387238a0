-- Every member stands in the tier that the points carry; progress says what keeps it and reaches the next; tier changes agree.
-- over: SELECT count(*) FROM expected_standing
WITH expected AS (
    SELECT * FROM expected_standing SEMI JOIN member_told USING (member_id)
), progress AS (
    SELECT * FROM tier_progress SEMI JOIN living_person USING (member_id) QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY "partition", "offset" DESC) = 1
), change AS (
    SELECT * FROM tier_changed SEMI JOIN living_person USING (member_id)
    SEMI JOIN (SELECT member_id FROM member_told UNION SELECT member_id FROM expected_standing) known USING (member_id)
    QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY "partition", "offset" DESC) = 1
)
SELECT member_id AS who,
       'progress says ' || coalesce(p.tier || ' with ' || p.qualifying_points, 'nothing')
       || ', recomputed ' || coalesce(e.tier || ' with ' || e.qualifying, 'no membership') AS what
FROM progress p FULL JOIN expected e USING (member_id)
WHERE p.tier IS DISTINCT FROM e.tier OR p.qualifying_points IS DISTINCT FROM e.qualifying
UNION ALL
SELECT member_id, said || ' is ' || coalesce(told::TEXT, 'null') || ', recomputed ' || coalesce(found::TEXT, 'null')
FROM (
    SELECT member_id, unnest([
        {'said': 'valid_until', 'told': p.valid_until, 'found': e.valid_until},
        {'said': 'to_keep_points', 'told': p.to_keep_points, 'found': e.to_keep},
        {'said': 'keep_by', 'told': p.keep_by, 'found': e.keep_by},
        {'said': 'to_next_points', 'told': p.to_next_points, 'found': e.to_next},
        {'said': 'next_by', 'told': p.next_by, 'found': e.next_by}
    ], recursive := TRUE)
    FROM progress p JOIN expected e USING (member_id)
)
WHERE told IS DISTINCT FROM found
UNION ALL
SELECT member_id,
       'the last tier change says ' || coalesce(c.tier, 'nothing') || ', recomputed ' || coalesce(e.tier, 'no membership')
FROM change c FULL JOIN expected_standing e USING (member_id)
WHERE c.tier IS DISTINCT FROM e.tier
