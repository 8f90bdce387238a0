-- No two tier changes and no two triggers have the same id, and no member has two current rows.
-- over: SELECT (SELECT count(*) FROM tiers) + (SELECT count(*) FROM triggers) + (SELECT count(*) FROM balances) + (SELECT count(*) FROM tier_progress)
SELECT kind || ' ' || id || ' stands ' || count(*) || ' times' AS what FROM (
    SELECT 'tier change' AS kind, change_id AS id FROM tiers
    UNION ALL SELECT 'trigger', trigger_id FROM triggers
    UNION ALL SELECT 'balance of', member_id FROM balances
    UNION ALL SELECT 'progress of', member_id FROM tier_progress) GROUP BY kind, id HAVING count(*) > 1
