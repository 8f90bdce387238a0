-- What members did in the 14 days after each kind of trigger, told or held out. Where the kind is part of an experiment,
-- the held out are the measure: `lift` is the difference of the two shares of members who ordered.
-- @sent: Triggers that were sent and not withdrawn.
-- @ordered_after: Of them, how many were followed by an order of the member within 14 days.
-- @held_out: Crossings of members whom the experiment holds out.
-- @held_out_ordered_after: Of those, how many were followed by an order within 14 days.
-- @lift: ordered_after / sent − held_out_ordered_after / held_out; null without an experiment.
WITH told AS (
    SELECT kind, experiment, member_id, recorded_at, TRUE AS sent FROM triggers t
    ANTI JOIN (FROM suppressed_triggers WHERE reason = 'WITHDRAWN') w USING (trigger_id)
    UNION ALL
    SELECT kind, experiment, member_id, recorded_at, FALSE FROM suppressed_triggers WHERE reason = 'HOLDOUT'),
followed AS (
    SELECT t.*, EXISTS (SELECT 1 FROM fact_orders o WHERE o.member_id = t.member_id AND o.placed_at > t.recorded_at
                        AND o.placed_at <= t.recorded_at + INTERVAL 14 DAY) AS ordered
    FROM told t)
SELECT kind, experiment, count(*) FILTER (sent) AS sent, count(*) FILTER (sent AND ordered) AS ordered_after,
       count(*) FILTER (NOT sent) AS held_out, count(*) FILTER (NOT sent AND ordered) AS held_out_ordered_after,
       count(*) FILTER (sent AND ordered) / nullif(count(*) FILTER (sent), 0)
           - count(*) FILTER (NOT sent AND ordered) / nullif(count(*) FILTER (NOT sent), 0) AS lift
FROM followed GROUP BY ALL;
