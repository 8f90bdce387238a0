-- A member is at one tier at a time: the spans of dim_member do not overlap, and one stands.
-- over: SELECT count(*) FROM dim_member
SELECT member_id || ' is at two tiers on ' || CAST(valid_from AS VARCHAR) AS what FROM (
    SELECT *, lag(valid_to) OVER (PARTITION BY member_id ORDER BY valid_from) AS before FROM dim_member)
WHERE before > valid_from
UNION ALL
SELECT member_id || ' has ' || count(*) FILTER (is_current) || ' current tiers' FROM dim_member
GROUP BY member_id HAVING count(*) FILTER (is_current) <> 1
