-- Of the members who enrolled in a month, how many ordered so many months later.
-- @cohort: The month of enrolment.
-- @months_later: 0 for the month of enrolment itself.
-- @members: How many enrolled in that month, members since erased or merged left out.
-- @ordered: How many of them placed an order in the month `months_later` after.
-- @share: ordered / members.
WITH enrolled AS (
    SELECT member_id, date_trunc('month', enrolled_on) AS cohort FROM dim_member
    WHERE is_current AND erased_at IS NULL AND merged_into IS NULL),
bought AS (
    SELECT DISTINCT member_id, date_trunc('month', placed_on) AS month FROM fact_orders WHERE status <> 'CANCELLED'),
sizes AS (SELECT cohort, count(*) AS members FROM enrolled GROUP BY cohort)
SELECT CAST(e.cohort AS DATE) AS cohort, date_diff('month', e.cohort, b.month) AS months_later, s.members,
       count(*) AS ordered, count(*) / s.members AS share
FROM enrolled e JOIN bought b USING (member_id) JOIN sizes s USING (cohort)
WHERE b.month >= e.cohort GROUP BY e.cohort, months_later, s.members;
