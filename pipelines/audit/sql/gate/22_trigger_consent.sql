-- Nobody is told anything without having agreed to its purpose at that instant, nor once merged into another or erased.
-- over: SELECT count(*) FROM told WHERE reason = 'SENT'
SELECT trigger_id AS who,
       'was sent at ' || recorded_at || CASE WHEN listens OR listens_before THEN ' without consent to ' || purpose
                                            ELSE ' to nobody who is a member of their own' END AS what
FROM told WHERE reason = 'SENT' AND NOT ((agrees AND listens) OR (agrees_before AND listens_before))
