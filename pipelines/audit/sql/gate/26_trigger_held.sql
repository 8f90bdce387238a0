-- What was not decided when it crossed had crossed in quiet hours, and was decided when they ended.
-- over: SELECT count(*) FROM told WHERE reason <> 'WITHDRAWN' AND recorded_at > crossed_at
SELECT trigger_id AS who,
       'crossed at ' || strftime(wall_crossed, '%Y-%m-%d %H:%M:%S') || ', decided at ' || strftime(wall_now, '%Y-%m-%d %H:%M:%S') AS what
FROM told
WHERE reason <> 'WITHDRAWN' AND recorded_at <> crossed_at AND zone IS NOT DISTINCT FROM zone_crossed
  AND (recorded_at < crossed_at OR NOT quiet_at_crossing OR recorded_at - crossed_at > 25 * 3600000
       OR NOT quiet_just_before AND epoch_ms(wall_now) - recorded_at = epoch_ms(wall_crossed) - crossed_at)
