-- What is sent can be sent: it ends later, and no later than its kind lives.
-- over: SELECT count(*) FROM told WHERE reason = 'SENT'
SELECT trigger_id AS who, 'was sent at ' || recorded_at || ' and ends at ' || expires_at || '; its kind lives ' || lives_ms || ' ms' AS what
FROM told JOIN trigger_kind USING (kind)
WHERE reason = 'SENT' AND NOT (recorded_at < expires_at AND expires_at <= recorded_at + lives_ms)
