-- Everybody begins at the lowest tier, at enrolment. `promotion` says from which step on a member stands higher:
-- a step is an instant, an order and a stage of it; steps of one instant stand in the order of their order ids.

CREATE TABLE promotion AS
SELECT member_id, enrolled_at AS at_ms, '' AS order_id, -1 AS step, 0 AS level, 0::BIGINT AS qualifying
FROM member_now;

-- The day on which an order's points were earned, in the programme's zone, and the instant at which they leave the
-- rolling window: the beginning of the day that many months later (of a month too short, its last day).
CREATE TABLE earned_day AS
SELECT order_no,
       epoch_ms(timezone(zone, (earned_on + to_months(window_months::INTEGER))::TIMESTAMP)) AS leaves_ms
FROM (
    SELECT o.order_no, v.zone, v.window_months, timezone(v.zone, make_timestamptz(o.placed_at * 1000))::DATE AS earned_on
    FROM order_now o JOIN version v USING (v)
    WHERE o.enrolled_then AND o.paid_at IS NOT NULL
);
