-- Nobody is told more than a cap allows, of a kind or on a channel, within calendar days of their own.
-- over: SELECT count(*) FROM told WHERE reason = 'SENT'
SELECT trigger_id AS who, 'was sent after ' || before || ' others; cap ' || (rank + 1) || ' of the programme allows ' || most AS what
FROM counted WHERE reason = 'SENT' AND before >= most
