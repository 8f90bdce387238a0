-- A crossing is told once: sent or refused under its own id, and withdrawn at most once, after it was sent.
-- over: SELECT count(DISTINCT trigger_id) FROM told
WITH crossing AS (
    SELECT trigger_id, count(*) FILTER (reason = 'SENT') AS sent, count(*) FILTER (reason = 'WITHDRAWN') AS withdrawn,
           count(*) FILTER (reason NOT IN ('SENT', 'WITHDRAWN')) AS refused,
           bool_and(regexp_replace(trigger_id, '[.][0-9]+$', '') = member_id || '/' || kind || '/' || subject || '@' || crossed_at) AS named
    FROM told GROUP BY trigger_id
)
SELECT trigger_id AS who,
       CASE WHEN NOT named THEN 'is not named by its member, kind, subject and crossing'
            WHEN withdrawn > sent THEN 'is withdrawn ' || withdrawn || ' times and was sent ' || sent
            ELSE 'was sent ' || sent || ' times and refused ' || refused || ' times' END AS what
FROM crossing WHERE sent + refused <> 1 OR withdrawn > sent OR NOT named
