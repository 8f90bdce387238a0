-- What the report shows, as views over the auditor's books. Weeks begin on Monday, UTC.

CREATE OR REPLACE VIEW report_points_by_week AS
SELECT date_trunc('week', epoch_ms(effective_at))::DATE AS week, reason,
       sum(CASE WHEN from_account = 'ISSUED' THEN points WHEN to_account = 'CLAWED_BACK' THEN -points END)::BIGINT AS points
FROM ledger WHERE from_account = 'ISSUED' OR to_account = 'CLAWED_BACK'
GROUP BY ALL ORDER BY week, reason;

CREATE OR REPLACE VIEW report_liability_by_day AS
WITH moved AS (
    SELECT epoch_ms(effective_at)::DATE AS day,
           sum(CASE WHEN to_account = 'ACTIVE' THEN points WHEN from_account = 'ACTIVE' THEN -points ELSE 0 END) AS active,
           sum(CASE WHEN to_account = 'PENDING' THEN points WHEN from_account = 'PENDING' THEN -points ELSE 0 END) AS pending
    FROM ledger GROUP BY ALL)
SELECT day, (sum(active) OVER (ORDER BY day))::BIGINT AS active, (sum(pending) OVER (ORDER BY day))::BIGINT AS pending
FROM moved ORDER BY day;

-- A tier lasts until the member's next change that was not taken back by a later CORRECTED.
CREATE OR REPLACE VIEW report_tier_spans AS
WITH told AS (
    SELECT *, row_number() OVER (PARTITION BY member_id ORDER BY "partition", "offset") AS nth FROM tier_changed),
standing AS (
    SELECT a.* FROM told a WHERE NOT EXISTS (
        SELECT 1 FROM told b WHERE b.member_id = a.member_id AND b.nth > a.nth AND b.kind = 'CORRECTED'
                               AND b.effective_at <= a.effective_at))
SELECT member_id, tier, epoch_ms(effective_at)::DATE AS since,
       epoch_ms(lead(effective_at) OVER (PARTITION BY member_id ORDER BY effective_at, nth))::DATE AS until
FROM standing;

CREATE OR REPLACE VIEW report_members_by_tier AS
WITH days AS (
    SELECT unnest(generate_series(min(since), max(since), INTERVAL 7 DAY))::DATE AS day FROM report_tier_spans)
SELECT day, tier, count(*)::BIGINT AS members
FROM days JOIN report_tier_spans ON since <= day AND (until IS NULL OR until > day)
GROUP BY ALL ORDER BY day, tier;

CREATE OR REPLACE VIEW report_orders_by_week AS
SELECT date_trunc('week', epoch_ms(placed_at))::DATE AS week, count(DISTINCT order_id)::BIGINT AS orders
FROM fact_order GROUP BY ALL ORDER BY week;

CREATE OR REPLACE VIEW report_points_by_reason AS
SELECT reason, from_account, to_account, count(*)::BIGINT AS entries, sum(points)::BIGINT AS points
FROM ledger GROUP BY ALL ORDER BY from_account, points DESC;

CREATE OR REPLACE VIEW report_points_by_tier AS
SELECT tier_at_event AS tier, sum(points)::BIGINT AS issued FROM ledger WHERE from_account = 'ISSUED' GROUP BY ALL ORDER BY issued DESC;

CREATE OR REPLACE VIEW report_dead_letters AS
SELECT topic, error_class, count(*)::BIGINT AS records FROM dead_letter GROUP BY ALL ORDER BY records DESC;
