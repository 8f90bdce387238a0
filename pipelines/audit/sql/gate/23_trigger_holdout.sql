-- Nobody who is held out of an experiment is told what it tries.
-- over: SELECT count(*) FROM told WHERE reason = 'SENT' AND experiment IS NOT NULL
SELECT trigger_id AS who, 'was sent; the member is ' || bucket || ' of 10,000 in ' || experiment || ', held out below ' || holdout_bp AS what
FROM told WHERE reason = 'SENT' AND held_out
