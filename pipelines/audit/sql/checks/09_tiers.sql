-- Every member stands in the tier that their qualifying points reached, and progress and tier changes say so.
-- over: SELECT count(*) FROM expected_standing
WITH progress AS (
    SELECT * FROM tier_progress QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY "partition", "offset" DESC) = 1
), change AS (
    SELECT * FROM tier_changed QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY "partition", "offset" DESC) = 1
)
SELECT member_id AS who,
       'progress says ' || coalesce(p.tier || ' with ' || p.qualifying_points, 'nothing')
       || ', recomputed ' || coalesce(e.tier || ' with ' || e.qualifying, 'no membership') AS what
FROM progress p FULL JOIN expected_standing e USING (member_id)
WHERE p.tier IS DISTINCT FROM e.tier OR p.qualifying_points IS DISTINCT FROM e.qualifying
UNION ALL
SELECT member_id,
       'the last tier change says ' || coalesce(c.tier, 'nothing') || ', recomputed ' || coalesce(e.tier, 'no membership')
FROM change c FULL JOIN expected_standing e USING (member_id)
WHERE c.tier IS DISTINCT FROM e.tier
