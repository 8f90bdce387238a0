-- The eligible amount of each line: what was paid for it, without tax, shipping and what does not earn.
--
-- A discount of the whole order, and then the part paid with points, is split over the eligible lines in
-- proportion to what they are worth, in whole minor units: each line gets the whole part of its share, and the
-- units left over go to the largest remainders, ties to the earlier line. 30.00 over 160/120/20 is 16/12/2.
-- Neither split takes more than there is.

CREATE TABLE line AS
SELECT order_no, line_no, line.line_id, line.category, line.quantity,
       CASE WHEN line.eligible THEN line.gross_minor - line.discount_minor ELSE 0 END AS after_own
FROM (
    SELECT order_no, unnest(lines) AS line, generate_subscripts(lines, 1) AS line_no
    FROM order_now WHERE enrolled_then
);

CREATE TABLE line_discounted AS
WITH share AS (
    SELECT l.*, least(o.order_discount_minor, sum(after_own) OVER w) AS taken, sum(after_own) OVER w AS whole
    FROM line l JOIN order_now o USING (order_no)
    WINDOW w AS (PARTITION BY order_no)
), part AS (
    SELECT *, taken * after_own // greatest(whole, 1) AS low, taken * after_own % greatest(whole, 1) AS remainder
    FROM share
)
SELECT order_no, line_no, line_id, category, quantity,
       after_own - low - CASE WHEN row_number() OVER (PARTITION BY order_no ORDER BY remainder DESC, line_no)
                                   <= least(taken, whole) - sum(low) OVER (PARTITION BY order_no)
                              THEN 1 ELSE 0 END AS discounted
FROM part;

CREATE TABLE line_net AS
WITH share AS (
    SELECT l.*, least(o.paid_with_points_minor, sum(discounted) OVER w) AS taken, sum(discounted) OVER w AS whole
    FROM line_discounted l JOIN order_now o USING (order_no)
    WINDOW w AS (PARTITION BY order_no)
), part AS (
    SELECT *, taken * discounted // greatest(whole, 1) AS low, taken * discounted % greatest(whole, 1) AS remainder
    FROM share
)
SELECT order_no, line_no, line_id, category, quantity,
       (discounted - low - CASE WHEN row_number() OVER (PARTITION BY order_no ORDER BY remainder DESC, line_no)
                                     <= least(taken, whole) - sum(low) OVER (PARTITION BY order_no)
                                THEN 1 ELSE 0 END)::BIGINT AS net
FROM part;

DROP TABLE line;
DROP TABLE line_discounted;
