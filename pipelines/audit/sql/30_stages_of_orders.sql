-- An order in its stages: stage 0 as it was bought, stage n after its first n refunds.
--
-- Refunds stand in the order in which they were settled. A refund's money comes off its line, never below zero;
-- a line of which the whole quantity came back keeps nothing, whatever the refund said. A line without a quantity
-- (only money) goes by the money alone. `last` is the stage that the facts have reached.
-- Stage -1 is for returns that are open still: what would be kept if they too were refunded. Only those count that were
-- requested before the points became active: they hold back what they would take.

CREATE TABLE refund AS
SELECT order_no, return_id, lines, greatest(coalesce(settled_at, 0), placed_at) AS at_ms,
       row_number() OVER (PARTITION BY order_no ORDER BY coalesce(settled_at, 0), return_id) AS stage
FROM return_now
WHERE status = 'REFUNDED';

CREATE TABLE order_active AS
SELECT order_no, least(placed_at + pending_latest_ms,
                       coalesce(delivered_at + pending_ms, placed_at + pending_latest_ms)) AS active_from
FROM order_now JOIN version USING (v)
WHERE enrolled_then;

CREATE TABLE holding AS
SELECT r.order_no, r.lines
FROM return_now r JOIN order_active a USING (order_no)
WHERE r.status IN ('REQUESTED', 'RECEIVED') AND r.requested_at < a.active_from;

CREATE TABLE stage AS
SELECT DISTINCT order_no, -1 AS stage, 0 AS at_ms FROM holding
UNION ALL
SELECT order_no, 0 AS stage, placed_at AS at_ms FROM order_now WHERE enrolled_then
UNION ALL
SELECT order_no, stage, at_ms FROM refund SEMI JOIN (SELECT order_no FROM order_now WHERE enrolled_then) USING (order_no);

-- What of each line came back up to each stage.
CREATE TABLE line_back AS
SELECT s.order_no, s.stage, b.line.line_id AS line_id, sum(b.line.quantity) AS quantity, sum(b.line.refund_minor) AS refund
FROM stage s
JOIN (
    SELECT order_no, stage, unnest(lines) AS line FROM refund
    UNION ALL
    SELECT order_no, -1, unnest(lines) FROM holding
) b ON b.order_no = s.order_no AND (s.stage = -1 OR b.stage BETWEEN 0 AND s.stage)
GROUP BY ALL;

CREATE TABLE line_kept AS
SELECT s.order_no, s.stage, l.category,
       CASE WHEN b.line_id IS NULL THEN l.net
            WHEN l.quantity > 0 AND b.quantity >= l.quantity THEN 0
            ELSE greatest(0, l.net - b.refund) END AS kept
FROM stage s
JOIN line_net l USING (order_no)
LEFT JOIN line_back b ON b.order_no = s.order_no AND b.stage = s.stage AND b.line_id = l.line_id;

-- Kept money by order, stage and category: all that the rules of earning look at.
CREATE TABLE kept AS
SELECT order_no, stage, category, sum(kept)::BIGINT AS minor FROM line_kept GROUP BY ALL;

CREATE TABLE last_stage AS
SELECT order_no, max(stage) AS stage FROM stage GROUP BY order_no;

DROP TABLE line_kept;
DROP TABLE line_back;
