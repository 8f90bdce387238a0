-- What members were told and what not, beside what was known of each of them at that instant.
--
-- A member fact is known from its recorded time on; one that stands on its topic behind a later one, from that one's.
-- The highest version known counts, and an erasure for good, whatever its version and however late. A fact recorded in the very millisecond of a decision may have come before or
-- behind it: `..._before` is what held without it, and a decision is wrong only when it is wrong both ways.

CREATE OR REPLACE MACRO wall(at_ms, zone) AS timezone(coalesce(zone, 'UTC'), make_timestamptz(at_ms * 1000));
CREATE OR REPLACE MACRO minute_of(moment) AS 60 * hour(moment) + minute(moment);
CREATE OR REPLACE MACRO lies_in(minute, begins, ends) AS
    CASE WHEN begins < ends THEN minute >= begins AND minute < ends ELSE minute >= begins OR minute < ends END;
CREATE OR REPLACE MACRO agrees(consents, purpose, at_ms) AS coalesce(len(list_filter(consents, lambda c:
    c.purpose = purpose AND c.granted_at <= at_ms
    AND NOT coalesce(c.withdrawn_at >= c.granted_at AND c.withdrawn_at <= at_ms, FALSE))) > 0, FALSE);

CREATE OR REPLACE TABLE member_known AS
WITH came AS (
    SELECT *, max(recorded_at) OVER (PARTITION BY topic, "partition" ORDER BY "offset") AS known_at
    FROM fact_member ANTI JOIN (SELECT * FROM dead_letter WHERE error_class NOT IN ('LATE', 'MERGE_CYCLE')) unread
    USING (topic, "partition", "offset")
), risen AS (
    SELECT * FROM came
    WHERE recorded_at - occurred_at <= (SELECT lateness_ms FROM programme) OR erased_at IS NOT NULL
    WINDOW before AS (PARTITION BY member_id ORDER BY "offset" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    QUALIFY (version > coalesce(max(version) OVER before, 0) OR erased_at IS NOT NULL) AND count(erased_at) OVER before = 0
)
SELECT member_id, known_at, zone, consents, merged_into IS NULL AND erased_at IS NULL AS listens
FROM risen
QUALIFY row_number() OVER (PARTITION BY member_id, known_at ORDER BY erased_at IS NOT NULL DESC, version DESC) = 1;

CREATE OR REPLACE TABLE told AS
WITH said AS (
    SELECT *, 'SENT' AS reason FROM sent_trigger
    UNION ALL BY NAME
    SELECT * FROM suppressed_trigger
), known AS (
    SELECT s.*, k.holdout_bp,
           ('0x' || left(sha256(s.experiment || ':' || s.member_id), 16))::UBIGINT % 10000 AS bucket,
           n.zone, c.zone AS zone_crossed,
           coalesce(n.listens, FALSE) AS listens, coalesce(b.listens, FALSE) AS listens_before,
           agrees(n.consents, s.purpose, s.recorded_at) AS agrees,
           agrees(b.consents, s.purpose, s.recorded_at) AS agrees_before,
           agrees(c.consents, s.purpose, s.crossed_at) AS agreed_at_crossing
    FROM said s
    LEFT JOIN trigger_kind k USING (kind)
    ASOF LEFT JOIN member_known n ON n.member_id = s.member_id AND n.known_at <= s.recorded_at
    ASOF LEFT JOIN member_known b ON b.member_id = s.member_id AND b.known_at < s.recorded_at
    ASOF LEFT JOIN member_known c ON c.member_id = s.member_id AND c.known_at <= s.crossed_at
), placed AS (
    SELECT k.*, wall(recorded_at, zone) AS wall_now, wall(recorded_at - 1, zone) AS wall_just_before,
           wall(crossed_at, zone_crossed) AS wall_crossed
    FROM known k
)
SELECT p.*, datediff('day', DATE '1970-01-01', wall_now::DATE) AS day, coalesce(bucket < holdout_bp, FALSE) AS held_out,
       coalesce(lies_in(minute_of(wall_now), q.from_minute, q.to_minute), FALSE) AS quiet,
       coalesce(lies_in(minute_of(wall_just_before), q.from_minute, q.to_minute), FALSE) AS quiet_just_before,
       coalesce(lies_in(minute_of(wall_crossed), q.from_minute, q.to_minute), FALSE) AS quiet_at_crossing
FROM placed p LEFT JOIN trigger_quiet q ON TRUE;

-- For each trigger, or one that a cap stopped, and each cap that covers it: how many others count against it.
CREATE OR REPLACE TABLE counted AS
SELECT t.trigger_id, t.reason, t."offset", c.rank, c.most, count(e.trigger_id) AS before
FROM told t
JOIN trigger_cap c ON coalesce(c.kind = t.kind, TRUE) AND coalesce(c.channel = t.channel, TRUE)
LEFT JOIN told e
  ON e.member_id = t.member_id AND e.reason = 'SENT' AND e.day > t.day - c.days AND e.day <= t.day
 AND coalesce(c.kind = e.kind, TRUE) AND coalesce(c.channel = e.channel, TRUE)
 AND (e.recorded_at, CASE WHEN t.reason = 'SENT' THEN e."offset" ELSE -1 END) < (t.recorded_at, t."offset")
WHERE t.reason IN ('SENT', 'FREQUENCY_CAP')
GROUP BY ALL;
