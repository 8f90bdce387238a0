-- What the report and the summary show, as views over what stands on the topics. Weeks begin on Monday, UTC.

-- Every fact that could be read, in the order of its partition; what the dead letters name was refused.
CREATE OR REPLACE VIEW report_told AS
SELECT told.*, letter.topic IS NOT NULL AS refused
FROM (
    SELECT 'orders' AS kind, topic, "partition", "offset", event_id, member_id, order_id AS own_id, version FROM fact_order
    UNION ALL
    SELECT 'returns', topic, "partition", "offset", event_id, member_id, return_id, version FROM fact_return
    UNION ALL
    SELECT 'engagements', topic, "partition", "offset", event_id, member_id, engagement_id, version FROM fact_engagement
    UNION ALL
    SELECT 'members', topic, "partition", "offset", event_id, member_id, member_id, version FROM fact_member
    UNION ALL
    SELECT 'commands', topic, "partition", "offset", event_id, member_id, command_id, 1 FROM fact_command
) told
LEFT JOIN (SELECT DISTINCT topic, "partition", "offset" FROM dead_letter) letter USING (topic, "partition", "offset");

-- The highest version wins, the same again is a duplicate, a lower one is stale.
CREATE OR REPLACE VIEW report_facts AS
WITH after AS (
    SELECT topic, refused, version, max(version) FILTER (NOT refused) OVER (
               PARTITION BY topic, "partition", member_id, own_id ORDER BY "offset"
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS known
    FROM report_told),
counted AS (
    SELECT topic, CASE WHEN refused THEN 'refused' WHEN known IS NULL OR version > known THEN 'applied'
                       WHEN version = known THEN 'duplicate' ELSE 'stale' END AS outcome
    FROM after
    UNION ALL
    SELECT topic, 'refused' FROM unreadable)
SELECT topic, outcome, count(*)::BIGINT AS records FROM counted GROUP BY ALL ORDER BY topic, outcome;

-- What is simulated: its event ids begin with `sim-`.
CREATE OR REPLACE VIEW report_simulated AS
SELECT kind, count(*)::BIGINT AS records, count(*) FILTER (starts_with(event_id, 'sim-'))::BIGINT AS simulated,
       count(*) FILTER (NOT starts_with(event_id, 'sim-') AND starts_with(member_id, 'hh-'))::BIGINT AS households
FROM report_told GROUP BY kind;

CREATE OR REPLACE VIEW report_entities AS
SELECT kind, count(DISTINCT (member_id, own_id))::BIGINT AS known,
       count(DISTINCT (member_id, own_id)) FILTER (NOT starts_with(event_id, 'sim-'))::BIGINT AS real
FROM report_told WHERE NOT refused GROUP BY kind;

CREATE OR REPLACE VIEW report_balances AS
SELECT coalesce(sum(active), 0)::BIGINT AS active, coalesce(sum(pending), 0)::BIGINT AS pending,
       coalesce(sum(debt), 0)::BIGINT AS debt
FROM (SELECT * FROM balance
      QUALIFY row_number() OVER (PARTITION BY topic, "partition", member_id ORDER BY "offset" DESC) = 1);

-- Tiers from the lowest to the highest of the programme's newest version; one that it no longer has comes first.
CREATE OR REPLACE VIEW report_tiers AS
SELECT name AS tier, coalesce(max(level) FILTER (v = (SELECT max(v) FROM tier)), -1) AS level
FROM (SELECT name, level, v FROM tier UNION SELECT tier, NULL, NULL FROM tier_changed
      UNION SELECT tier, NULL, NULL FROM tier_progress)
GROUP BY name;

CREATE OR REPLACE VIEW report_members AS
SELECT tier, count(member_id)::BIGINT AS members
FROM report_tiers LEFT JOIN (
    SELECT * FROM tier_progress
    QUALIFY row_number() OVER (PARTITION BY topic, "partition", member_id ORDER BY "offset" DESC) = 1) USING (tier)
GROUP BY tier, level ORDER BY level, tier;

-- What an entry adds to the points that members have or are promised: issued, taken back, or only moved.
CREATE OR REPLACE VIEW report_moves AS
SELECT *, date_trunc('week', make_timestamp(effective_at * 1000))::DATE AS week,
       CASE WHEN from_account = 'ISSUED' THEN points ELSE 0 END AS issued,
       CASE WHEN to_account = 'CLAWED_BACK' THEN points ELSE 0 END AS taken_back,
       (CASE 'ACTIVE' WHEN to_account THEN points WHEN from_account THEN -points ELSE 0 END) AS to_active,
       (CASE 'PENDING' WHEN to_account THEN points WHEN from_account THEN -points ELSE 0 END) AS to_pending
FROM ledger;

CREATE OR REPLACE VIEW report_reasons AS
SELECT reason, sum(issued)::BIGINT AS issued, sum(taken_back)::BIGINT AS taken_back,
       sum(points - issued - taken_back)::BIGINT AS moved, count(*)::BIGINT AS entries,
       count(DISTINCT member_id)::BIGINT AS members
FROM report_moves GROUP BY reason ORDER BY issued DESC, taken_back DESC, moved DESC, reason;

CREATE OR REPLACE VIEW report_points_by_tier AS
SELECT tier_at_event AS tier, sum(issued)::BIGINT AS issued, sum(taken_back)::BIGINT AS taken_back
FROM report_moves LEFT JOIN report_tiers ON tier = tier_at_event
GROUP BY tier_at_event, level HAVING sum(issued) + sum(taken_back) > 0 ORDER BY level, tier_at_event;

CREATE OR REPLACE VIEW report_order_weeks AS
SELECT date_trunc('week', make_timestamp(min(placed_at) * 1000))::DATE AS week
FROM fact_order ANTI JOIN dead_letter USING (topic, "partition", "offset") GROUP BY member_id, order_id;

CREATE OR REPLACE VIEW report_weeks AS
SELECT unnest(generate_series(min(week), max(week), INTERVAL 7 DAY))::DATE AS week
FROM (
    SELECT week FROM report_moves
    UNION ALL
    SELECT week FROM report_order_weeks
    UNION ALL
    SELECT date_trunc('week', make_timestamp(recorded_at * 1000))::DATE FROM sent_trigger
    UNION ALL
    SELECT date_trunc('week', make_timestamp(recorded_at * 1000))::DATE FROM suppressed_trigger
);

CREATE OR REPLACE VIEW report_orders_by_week AS
SELECT week, count(o.week)::BIGINT AS orders
FROM report_weeks LEFT JOIN report_order_weeks o USING (week) GROUP BY week ORDER BY week;

CREATE OR REPLACE VIEW report_points_by_week AS
SELECT week, reason, coalesce(sum(issued), 0)::BIGINT AS issued, coalesce(sum(taken_back), 0)::BIGINT AS taken_back
FROM report_weeks CROSS JOIN (SELECT reason FROM report_reasons WHERE issued + taken_back > 0)
LEFT JOIN report_moves USING (week, reason) GROUP BY week, reason ORDER BY week, reason;

-- What members hold at the end of the week: the running sum of the ledger by the instant from which it counts.
CREATE OR REPLACE VIEW report_liability AS
SELECT week, (sum(sum(to_active)) OVER (ORDER BY week))::BIGINT AS active,
       (sum(sum(to_pending)) OVER (ORDER BY week))::BIGINT AS pending
FROM (SELECT week, to_active, to_pending FROM report_moves UNION ALL SELECT week, 0, 0 FROM report_weeks)
GROUP BY week ORDER BY week;

CREATE OR REPLACE VIEW report_pending AS
SELECT week, coalesce(sum(points) FILTER (to_account = 'PENDING'), 0)::BIGINT AS came_in,
       coalesce(sum(points) FILTER (from_account = 'PENDING' AND to_account = 'ACTIVE'), 0)::BIGINT AS activated,
       coalesce(sum(points) FILTER (from_account = 'PENDING' AND to_account <> 'ACTIVE'), 0)::BIGINT AS taken_back
FROM report_weeks LEFT JOIN report_moves USING (week) GROUP BY week ORDER BY week;

-- A tier stands until the member's next change; a later CORRECTED unsays what was said of the time from it on.
CREATE OR REPLACE VIEW report_standing AS
WITH told AS (
    SELECT *, row_number() OVER (PARTITION BY member_id ORDER BY "partition", "offset") AS nth FROM tier_changed),
standing AS (
    SELECT *, min(effective_at) FILTER (kind = 'CORRECTED') OVER (
               PARTITION BY member_id ORDER BY nth ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS corrected_from
    FROM told QUALIFY corrected_from IS NULL OR corrected_from > effective_at)
SELECT member_id, tier, effective_at AS from_at,
       lead(effective_at) OVER (PARTITION BY member_id ORDER BY effective_at, nth) AS to_at
FROM standing;

CREATE OR REPLACE VIEW report_members_by_week AS
WITH changes AS (
    SELECT date_trunc('week', make_timestamp(from_at * 1000))::DATE AS week, tier, 1 AS members FROM report_standing
    UNION ALL
    SELECT date_trunc('week', make_timestamp(to_at * 1000))::DATE, tier, -1 FROM report_standing WHERE to_at IS NOT NULL
    UNION ALL
    SELECT week, tier, 0 FROM report_weeks CROSS JOIN report_tiers),
running AS (
    SELECT week, tier, (sum(sum(members)) OVER (PARTITION BY tier ORDER BY week))::BIGINT AS members
    FROM changes GROUP BY week, tier)
SELECT week, tier, members FROM running SEMI JOIN report_weeks USING (week) JOIN report_tiers USING (tier)
ORDER BY week, level, tier;

-- What campaigns and threshold bonuses added to the orders that earned them; their names stand in the entry ids.
CREATE OR REPLACE VIEW report_campaigns AS
WITH earned AS (
    SELECT member_id, lot_id, reason, split_part(split_part(entry_id, '/', 3), ':', 2) AS id, issued
    FROM report_moves WHERE reason IN ('CAMPAIGN', 'THRESHOLD') AND issued > 0),
base AS (
    SELECT member_id, lot_id, sum(issued) AS points FROM report_moves WHERE reason = 'BASE' GROUP BY ALL),
rewarded AS (
    SELECT id, count(*) AS orders, sum(issued) AS added, sum(points) AS base
    FROM (SELECT id, member_id, lot_id, sum(issued) AS issued FROM earned GROUP BY ALL)
    LEFT JOIN base USING (member_id, lot_id) GROUP BY id),
offer AS (
    SELECT c.id, c.category, c.from_ms, c.to_ms, 100 * c.bonus // scale AS percent, NULL AS points
    FROM campaign c JOIN version USING (v)
    UNION ALL
    SELECT id, NULL, from_ms, to_ms, NULL, points FROM threshold_bonus)
SELECT id, any_value(category) AS category, any_value(percent) AS percent, any_value(points) AS points,
       make_timestamp(min(from_ms) * 1000)::DATE AS starts, make_timestamp(max(to_ms) * 1000)::DATE AS ends,
       any_value(coalesce(orders, 0))::BIGINT AS orders, any_value(coalesce(added, 0))::BIGINT AS added,
       any_value(coalesce(base, 0))::BIGINT AS base
FROM offer LEFT JOIN rewarded USING (id) GROUP BY id ORDER BY added DESC, id;

CREATE OR REPLACE VIEW report_dead_letters AS
SELECT topic, error_class, count(*)::BIGINT AS records FROM dead_letter GROUP BY ALL ORDER BY records DESC, topic, error_class;

-- What members were told, by kind: what was sent, and why the rest was not. A withdrawn one was sent before.
CREATE OR REPLACE VIEW report_decisions AS
SELECT kind, 'SENT' AS reason, date_trunc('week', make_timestamp(recorded_at * 1000))::DATE AS week, member_id FROM sent_trigger
UNION ALL
SELECT kind, reason, date_trunc('week', make_timestamp(recorded_at * 1000))::DATE, member_id FROM suppressed_trigger;

CREATE OR REPLACE VIEW report_triggers AS
SELECT kind, count(*) FILTER (reason = 'SENT')::BIGINT AS sent, count(DISTINCT member_id) FILTER (reason = 'SENT')::BIGINT AS members,
       count(*) FILTER (reason = 'NO_CONSENT')::BIGINT AS no_consent, count(*) FILTER (reason = 'HOLDOUT')::BIGINT AS holdout,
       count(*) FILTER (reason = 'NO_LONGER_TRUE')::BIGINT AS no_longer_true,
       count(*) FILTER (reason = 'FREQUENCY_CAP')::BIGINT AS frequency_cap, count(*) FILTER (reason = 'WITHDRAWN')::BIGINT AS withdrawn
FROM report_decisions GROUP BY kind ORDER BY sent DESC, kind;

CREATE OR REPLACE VIEW report_sent_by_week AS
SELECT week, kind, count(member_id)::BIGINT AS sent
FROM report_weeks CROSS JOIN (SELECT DISTINCT kind FROM sent_trigger)
LEFT JOIN (SELECT * FROM report_decisions WHERE reason = 'SENT') USING (week, kind) GROUP BY week, kind ORDER BY week, kind;

CREATE OR REPLACE VIEW report_suppressed_by_week AS
SELECT week, reason, count(member_id)::BIGINT AS suppressed
FROM report_weeks CROSS JOIN (SELECT DISTINCT reason FROM suppressed_trigger)
LEFT JOIN report_decisions USING (week, reason) GROUP BY week, reason ORDER BY week, reason;
