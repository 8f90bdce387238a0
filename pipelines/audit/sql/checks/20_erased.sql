-- An erased member has nothing in any account of a balance, and no balance or progress stands any more.
-- over: SELECT count(*) FROM ended_account
WITH side AS (
    SELECT member_id, to_account AS account, points FROM ledger
    UNION ALL
    SELECT member_id, from_account, -points FROM ledger
), last_said AS (
    SELECT member_id, 'balance' AS what, max("offset") AS "offset" FROM balance GROUP BY member_id
    UNION ALL
    SELECT member_id, 'progress', max("offset") FROM tier_progress GROUP BY member_id
), last_removed AS (
    SELECT member_id, what, max("offset") AS "offset" FROM removed GROUP BY ALL
)
SELECT member_id AS who, 'has ' || sum(points) || ' in ' || account AS what
FROM side SEMI JOIN ended_account USING (member_id)
WHERE account IN ('PENDING', 'ACTIVE', 'RESERVED', 'DEBT')
GROUP BY member_id, account HAVING sum(points) <> 0
UNION ALL
SELECT member_id, 'has a ' || what || ' that stands, at offset ' || s."offset"
FROM last_said s SEMI JOIN ended_account USING (member_id) LEFT JOIN last_removed r USING (member_id, what)
WHERE s."offset" > coalesce(r."offset", -1)
