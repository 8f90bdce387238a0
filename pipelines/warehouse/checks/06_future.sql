-- Nothing counts from an instant behind the newest that was recorded.
-- over: SELECT (SELECT count(*) FROM ledger) + (SELECT count(*) FROM tiers)
WITH now AS (SELECT max(recorded_at) AS newest FROM (
    SELECT recorded_at FROM ledger UNION ALL SELECT recorded_at FROM tiers UNION ALL SELECT recorded_at FROM balances
    UNION ALL SELECT recorded_at FROM orders))
SELECT kind || ' ' || id || ' counts from ' || CAST(effective_at AS VARCHAR) AS what FROM (
    SELECT 'entry' AS kind, entry_id AS id, effective_at FROM ledger
    UNION ALL SELECT 'tier change', change_id, effective_at FROM tiers), now WHERE effective_at > newest
