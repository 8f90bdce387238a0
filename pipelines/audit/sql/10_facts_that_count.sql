-- What is known, at the end of the topics.
--
-- A fact carries its entity's whole state, so of each order, return, engagement and member exactly one record
-- counts: the highest version; of two records with the same version, the one that came first. Records that the
-- worker refused (they are in the dead letters, by topic, partition and offset) and records that are too late by
-- the programme's horizon do not count, whatever they say. A command that is too late is answered so.

CREATE TABLE refused AS
SELECT topic, "partition", "offset" FROM dead_letter
UNION
SELECT topic, "partition", "offset" FROM fact WHERE NOT is_command AND recorded_at - occurred_at > (SELECT lateness_ms FROM programme);

CREATE TABLE member_now AS
SELECT f.*, v.v
FROM (
    SELECT * FROM fact_member ANTI JOIN refused USING (topic, "partition", "offset")
    QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY version DESC, "offset") = 1
) f
JOIN version v ON f.enrolled_at >= v.from_ms AND f.enrolled_at < v.to_ms;

-- Every order gets a number, to join on; `v` is the programme version in force when it was placed.
CREATE TABLE order_now AS
SELECT row_number() OVER (ORDER BY f.member_id, f.order_id) AS order_no, f.*, v.v,
       m.enrolled_at IS NOT NULL AND f.placed_at >= m.enrolled_at AS enrolled_then
FROM (
    SELECT * FROM fact_order ANTI JOIN refused USING (topic, "partition", "offset")
    QUALIFY row_number() OVER (PARTITION BY member_id, order_id ORDER BY version DESC, "offset") = 1
) f
LEFT JOIN member_now m USING (member_id)
JOIN version v ON f.placed_at >= v.from_ms AND f.placed_at < v.to_ms;

CREATE TABLE return_now AS
SELECT o.order_no, o.placed_at, r.return_id, r.status, r.requested_at, r.settled_at, r.lines
FROM (
    SELECT * FROM fact_return ANTI JOIN refused USING (topic, "partition", "offset")
    QUALIFY row_number() OVER (PARTITION BY member_id, return_id ORDER BY version DESC, "offset") = 1
) r
JOIN order_now o USING (member_id, order_id);

CREATE TABLE engagement_now AS
SELECT f.*, v.v
FROM (
    SELECT * FROM fact_engagement ANTI JOIN refused USING (topic, "partition", "offset")
    QUALIFY row_number() OVER (PARTITION BY member_id, engagement_id ORDER BY version DESC, "offset") = 1
) f
JOIN member_now m USING (member_id)
JOIN version v ON f.occurred_at >= v.from_ms AND f.occurred_at < v.to_ms
WHERE f.occurred_at >= m.enrolled_at;

-- A member's now: the greatest recorded time of a fact of theirs, or clock tick of their partition. A record refused
-- at the border has said nothing; a return refused for what its order is was nevertheless read.
CREATE TABLE clock AS
SELECT f.member_id, greatest(max(f.recorded_at), coalesce(max(t.latest), max(f.recorded_at))) AS now_ms
FROM (
    SELECT member_id, "partition", max(recorded_at) AS recorded_at
    FROM fact ANTI JOIN (
        SELECT * FROM dead_letter
        WHERE error_class NOT IN ('ORDER_UNKNOWN', 'RETURN_EXCEEDS_ORDER', 'RETURN_OF_UNKNOWN_LINE')
    ) unread USING (topic, "partition", "offset")
    GROUP BY member_id, "partition"
) f
LEFT JOIN (SELECT "partition", max("at") AS latest FROM tick GROUP BY "partition") t USING ("partition")
GROUP BY f.member_id;
