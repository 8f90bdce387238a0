-- Which qualifying points count together. In a rolling window, those of the last months, by days of the programme's
-- zone; else those of a period, a calendar year or a year since the member joined, and a tier is carried by the better
-- of the current period and the one before.

CREATE TABLE rules_of_tiers AS
SELECT p.*, p.window_kind = 'rolling' AS is_rolling, (SELECT any_value(zone) FROM version) AS zone FROM programme p;

CREATE TABLE version_thresholds AS
SELECT v.v, v.from_ms, v.to_ms, list(t.threshold ORDER BY t.level) AS thresholds
FROM version v JOIN tier t USING (v) GROUP BY ALL;

-- The instants from which other thresholds hold.
CREATE TABLE thresholds_change AS
SELECT from_ms AS at_ms FROM version_thresholds
QUALIFY thresholds <> lag(thresholds, 1, thresholds) OVER (ORDER BY from_ms);

CREATE TABLE member_period AS
WITH joined AS (
    SELECT m.member_id, r.zone, r.window_kind, timezone(r.zone, make_timestamptz(m.enrolled_at * 1000))::DATE AS joined_on,
           timezone(r.zone, make_timestamptz(c.now_ms * 1000))::DATE AS today
    FROM member_now m JOIN clock c USING (member_id), rules_of_tiers r
    WHERE NOT r.is_rolling
), begun AS (
    SELECT member_id, zone, unnest(range(0, date_diff('year', joined_on, today)::BIGINT + 4)) AS number,
           CASE window_kind WHEN 'calendar_year' THEN date_trunc('year', joined_on)::DATE ELSE joined_on END AS first_begins
    FROM joined
)
SELECT member_id, number, (first_begins + to_months(12 * number::INTEGER))::DATE AS begins_on,
       epoch_ms(timezone(zone, (first_begins + to_months(12 * number::INTEGER))::TIMESTAMP)) AS begins_ms,
       lead(begins_ms, 1) OVER (PARTITION BY member_id ORDER BY number) AS ends_ms,
       lead(begins_ms, 2) OVER (PARTITION BY member_id ORDER BY number) AS next_ends_ms
FROM begun;

-- The day on which an order's points were earned, and the instants at which they no longer count as current, and no
-- longer at all: in a rolling window both are the beginning of the day that many months later (of a month too short,
-- its last day); else the ends of its period and of the next.
CREATE TABLE earned_bucket AS
SELECT order_no, coalesce(period_ends_ms, rolls_ms) AS ends_ms, coalesce(next_ends_ms, rolls_ms) AS leaves_ms
FROM (
    SELECT o.order_no, p.ends_ms AS period_ends_ms, p.next_ends_ms,
           CASE WHEN r.is_rolling THEN epoch_ms(timezone(r.zone, (
               timezone(r.zone, make_timestamptz(o.placed_at * 1000))::DATE + to_months(r.window_months::INTEGER))::TIMESTAMP))
           END AS rolls_ms
    FROM order_now o
    CROSS JOIN rules_of_tiers r
    LEFT JOIN member_period p ON p.member_id = o.member_id AND o.placed_at >= p.begins_ms AND o.placed_at < p.ends_ms
    WHERE o.enrolled_then AND o.paid_at IS NOT NULL
);

-- The first guess of an order's tier is the lowest; 51 and 52 are run until it does not change.
CREATE TABLE tier_at_order AS
SELECT order_no, 0 AS level FROM order_now WHERE enrolled_then;
