-- One row an order, as last told and not refused: what was bought, what came back, what points it was worth.
-- @gross_minor: Prices before every discount, minor units of the currency.
-- @discount_minor: Discounts of the lines and of the order together, minor units.
-- @net_minor: What was paid for goods: gross less discounts, minor units.
-- @refunded_minor: What of it was given back, minor units.
-- @points: Points that the order has earned and kept.
-- @is_first: Whether it is the member's first order.
WITH told AS (
    SELECT o.* FROM orders o
    ANTI JOIN dead_letters d ON d.topic LIKE '%commerce.orders.v1' AND d.partition = o.source_partition
         AND d."offset" = o.source_offset
    QUALIFY row_number() OVER (PARTITION BY o.member_id, o.order_id ORDER BY o.version DESC, o.source_offset) = 1),
sent_back AS (
    SELECT * FROM returns QUALIFY row_number() OVER (
        PARTITION BY member_id, return_id ORDER BY version DESC, source_offset) = 1),
refunded AS (
    SELECT member_id, order_id, sum(line.refund_minor) AS refunded_minor, max(settled_at) AS last_refund_at
    FROM (SELECT member_id, order_id, settled_at, unnest(lines) AS line FROM sent_back WHERE status = 'REFUNDED')
    GROUP BY ALL),
earned AS (
    SELECT member_id, order_id, sum(issued - taken_back) AS points FROM fact_points
    WHERE order_id IS NOT NULL GROUP BY ALL)
SELECT order_id, member_id, market, currency, status, placed_at, CAST(placed_at AS DATE) AS placed_on,
       delivered_at, cancelled_at, version, len(lines) AS lines,
       CAST(list_sum(list_transform(lines, lambda line: line.quantity)) AS BIGINT) AS pieces,
       CAST(list_sum(list_transform(lines, lambda line: line.gross_minor)) AS BIGINT) AS gross_minor,
       CAST(list_sum(list_transform(lines, lambda line: line.discount_minor)) AS BIGINT)
           + coalesce(order_discount_minor, 0) AS discount_minor,
       gross_minor - discount_minor AS net_minor,
       CAST(coalesce(refunded_minor, 0) AS BIGINT) AS refunded_minor, last_refund_at,
       CAST(coalesce(points, 0) AS BIGINT) AS points,
       row_number() OVER (PARTITION BY member_id ORDER BY placed_at, order_id) = 1 AS is_first
FROM told LEFT JOIN refunded USING (member_id, order_id) LEFT JOIN earned USING (member_id, order_id);
