-- Nobody is told anything in the quiet hours on their wall, whatever the clocks did that night.
-- over: SELECT count(*) FROM told WHERE reason = 'SENT'
SELECT trigger_id AS who, 'was sent at ' || strftime(wall_now, '%Y-%m-%d %H:%M:%S') || ' in ' || zone AS what
FROM told WHERE reason = 'SENT' AND quiet
