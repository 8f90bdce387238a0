-- What each campaign or threshold bonus added, and how the days on which it paid compare with the four weeks before.
-- The comparison is before against during, of the same market: it shows a difference, not a cause.
-- @rule_id: The campaign or bonus, as the programme names it.
-- @orders: Orders that it added points to.
-- @added: Points that it added, before any was taken back.
-- @orders_a_day: Orders of the market a day, from the first to the last order that it paid for.
-- @orders_a_day_before: The same in the 28 days before the first.
WITH paid AS (
    SELECT f.market, f.rule_id, min(o.placed_on) AS first_day, max(o.placed_on) AS last_day,
           count(DISTINCT (f.member_id, f.order_id)) AS orders, sum(f.issued) AS added
    FROM fact_points f JOIN fact_orders o USING (member_id, order_id)
    WHERE f.reason IN ('CAMPAIGN', 'THRESHOLD') AND f.issued > 0 GROUP BY ALL),
days AS (SELECT market, placed_on, count(*) AS orders FROM fact_orders GROUP BY ALL)
SELECT p.rule_id, p.market, p.first_day, p.last_day, p.orders, CAST(p.added AS BIGINT) AS added,
       (SELECT sum(d.orders) FROM days d WHERE d.market = p.market AND d.placed_on BETWEEN p.first_day AND p.last_day)
           / (1 + date_diff('day', p.first_day, p.last_day)) AS orders_a_day,
       (SELECT sum(d.orders) FROM days d WHERE d.market = p.market
               AND d.placed_on >= p.first_day - 28 AND d.placed_on < p.first_day) / 28 AS orders_a_day_before
FROM paid p;
