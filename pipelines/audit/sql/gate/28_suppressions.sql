-- Every reason for not telling is true, as far as the facts show it: consent, holdout, cap, the night, and that it was sent.
-- over: SELECT count(*) FROM told WHERE reason <> 'SENT'
WITH full_cap AS (
    SELECT DISTINCT trigger_id FROM counted WHERE reason = 'FREQUENCY_CAP' AND before >= most
), sent AS (
    SELECT trigger_id, min(recorded_at) AS sent_at, max(expires_at) AS ends_at FROM told WHERE reason = 'SENT' GROUP BY trigger_id
), moved AS ( -- what may have made an order's trigger untrue: an order, or the member is another now
    SELECT DISTINCT t.trigger_id FROM told t JOIN fact_order o USING (member_id)
    WHERE t.kind = 'WIN_BACK_DUE' AND t.reason IN ('NO_LONGER_TRUE', 'WITHDRAWN') AND o.recorded_at BETWEEN t.crossed_at AND t.recorded_at
)
SELECT trigger_id AS who, reason || ', but ' || why AS what
FROM (
    SELECT t.trigger_id, t.reason,
           CASE WHEN t.reason = 'NO_CONSENT' THEN CASE WHEN t.agrees AND t.agrees_before THEN 'the member had agreed to ' || t.purpose END
                WHEN t.reason = 'WITHDRAWN' AND (s.sent_at IS NULL OR s.sent_at > t.recorded_at) THEN 'it had not been sent'
                WHEN t.reason = 'WITHDRAWN' AND t.recorded_at >= s.ends_at THEN 'it had ended'
                WHEN t.reason <> 'WITHDRAWN' AND NOT t.agrees AND NOT t.agrees_before THEN 'the first reason is that the member had not agreed to ' || t.purpose
                WHEN t.reason = 'HOLDOUT' AND NOT t.held_out THEN 'the member is ' || coalesce(t.bucket, -1) || ' of 10,000, held out below ' || t.holdout_bp
                WHEN t.reason IN ('NO_LONGER_TRUE', 'FREQUENCY_CAP') AND t.held_out THEN 'the first reason is the holdout'
                WHEN t.reason = 'NO_LONGER_TRUE' AND t.recorded_at = t.crossed_at THEN 'it was true in that instant'
                WHEN t.reason = 'FREQUENCY_CAP' AND f.trigger_id IS NULL THEN 'no cap was full'
                WHEN t.kind = 'WIN_BACK_DUE' AND t.reason IN ('NO_LONGER_TRUE', 'WITHDRAWN') AND m.trigger_id IS NULL AND t.listens
                THEN 'no order had come since it was true'
                WHEN t.reason NOT IN ('HOLDOUT', 'NO_LONGER_TRUE', 'FREQUENCY_CAP', 'WITHDRAWN') THEN 'there is no such reason'
           END AS why
    FROM told t
    LEFT JOIN full_cap f USING (trigger_id)
    LEFT JOIN sent s USING (trigger_id)
    LEFT JOIN moved m USING (trigger_id)
    WHERE t.reason <> 'SENT'
)
WHERE why IS NOT NULL
