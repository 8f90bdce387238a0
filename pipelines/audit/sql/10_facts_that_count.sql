-- What is known, at the end of the topics.
--
-- A fact carries its entity's whole state, so of each order, return, engagement and member exactly one record
-- counts: the highest version; of two records with the same version, the one that came first. Records that the
-- worker refused (they are in the dead letters, by topic, partition and offset) and records that are too late by
-- the programme's horizon do not count, whatever they say. A command that is too late is answered so, and a record that
-- says that a member was erased is never too late, nor overtaken.

CREATE TABLE refused AS
SELECT topic, "partition", "offset" FROM dead_letter
UNION
SELECT topic, "partition", "offset" FROM fact WHERE NOT is_command AND recorded_at - occurred_at > (SELECT lateness_ms FROM programme)
EXCEPT
SELECT topic, "partition", "offset" FROM fact_member WHERE erased_at IS NOT NULL;

CREATE TABLE member_told AS
SELECT * FROM fact_member ANTI JOIN refused USING (topic, "partition", "offset")
QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY erased_at IS NULL, version DESC, "offset") = 1;

-- Members that are merged into others are those persons: from here on `member_id` is the person's, the id that is merged
-- into no other, and `told_by` the one that the fact came under.
CREATE TABLE person AS
WITH RECURSIVE way AS (
    SELECT member_id, member_id AS person_id, 0 AS hops
    FROM (SELECT member_id FROM fact UNION SELECT merged_into FROM fact_member WHERE merged_into IS NOT NULL)
    UNION ALL
    SELECT w.member_id, m.merged_into, w.hops + 1
    FROM way w JOIN member_told m ON m.member_id = w.person_id
    WHERE m.merged_into IS NOT NULL AND w.hops < 100
)
SELECT member_id AS told_by, arg_max(person_id, hops) AS member_id FROM way GROUP BY ALL;

-- Of a person who was erased, under whichever id, no fact counts any more. Ended are the accounts of that person and of
-- each id that was told to be erased.
CREATE TABLE erased_person AS
SELECT DISTINCT p.member_id FROM member_told m JOIN person p ON p.told_by = m.member_id WHERE m.erased_at IS NOT NULL;

CREATE TABLE ended_account AS
SELECT member_id FROM erased_person UNION SELECT member_id FROM member_told WHERE erased_at IS NOT NULL;

CREATE TABLE living_person AS SELECT * FROM person ANTI JOIN erased_person USING (member_id);

-- A person is enrolled from the first instant on at which any of these members was.
CREATE TABLE member_now AS
SELECT f.member_id, f.enrolled_at, f.first_id, v.v
FROM (
    SELECT p.member_id, min(m.enrolled_at) AS enrolled_at, arg_min(m.member_id, (m.enrolled_at, m.member_id)) AS first_id
    FROM member_told m JOIN living_person p ON p.told_by = m.member_id GROUP BY p.member_id
) f
JOIN version v ON f.enrolled_at >= v.from_ms AND f.enrolled_at < v.to_ms;

-- Every order gets a number, to join on; `v` is the programme version in force when it was placed.
CREATE TABLE order_now AS
SELECT row_number() OVER (ORDER BY f.member_id, f.order_id) AS order_no, f.*, v.v,
       m.enrolled_at IS NOT NULL AND f.placed_at >= m.enrolled_at AS enrolled_then
FROM (
    SELECT f.* REPLACE (p.member_id AS member_id), p.told_by
    FROM fact_order f ANTI JOIN refused USING (topic, "partition", "offset") JOIN living_person p ON p.told_by = f.member_id
    QUALIFY row_number() OVER (PARTITION BY p.member_id, order_id ORDER BY version DESC, "offset") = 1
) f
LEFT JOIN member_now m USING (member_id)
JOIN version v ON f.placed_at >= v.from_ms AND f.placed_at < v.to_ms;

CREATE TABLE return_now AS
SELECT o.order_no, o.placed_at, r.return_id, r.status, r.requested_at, r.settled_at, r.lines
FROM (
    SELECT f.* REPLACE (p.member_id AS member_id)
    FROM fact_return f ANTI JOIN refused USING (topic, "partition", "offset") JOIN living_person p ON p.told_by = f.member_id
    QUALIFY row_number() OVER (PARTITION BY p.member_id, return_id ORDER BY version DESC, "offset") = 1
) r
JOIN order_now o USING (member_id, order_id);

CREATE TABLE engagement_now AS
SELECT f.*, v.v
FROM (
    SELECT f.* REPLACE (p.member_id AS member_id)
    FROM fact_engagement f ANTI JOIN refused USING (topic, "partition", "offset") JOIN living_person p ON p.told_by = f.member_id
    QUALIFY row_number() OVER (PARTITION BY p.member_id, engagement_id ORDER BY version DESC, "offset") = 1
) f
JOIN member_now m USING (member_id)
JOIN version v ON f.occurred_at >= v.from_ms AND f.occurred_at < v.to_ms
WHERE f.occurred_at >= m.enrolled_at;

-- A member's now: the greatest recorded time of a fact of theirs, or clock tick of their partition. A record refused
-- at the border has said nothing; a return refused for what its order is was nevertheless read.
CREATE TABLE clock AS
WITH heard AS (
    SELECT p.member_id, max(f.recorded_at) AS recorded_at
    FROM fact f ANTI JOIN (
        SELECT * FROM dead_letter
        WHERE error_class NOT IN ('ORDER_UNKNOWN', 'RETURN_EXCEEDS_ORDER', 'RETURN_OF_UNKNOWN_LINE', 'MERGE_CYCLE', 'MERGED_INTO_ERASED')
    ) unread USING (topic, "partition", "offset")
    JOIN person p ON p.told_by = f.member_id
    GROUP BY p.member_id
), place AS (
    SELECT member_id, "partition" FROM fact UNION SELECT member_id, "partition" FROM ledger
)
SELECT h.member_id, greatest(h.recorded_at, coalesce(max(t.latest), 0)) AS now_ms
FROM heard h
LEFT JOIN place USING (member_id)
LEFT JOIN (SELECT "partition", max("at") AS latest FROM tick GROUP BY "partition") t USING ("partition")
GROUP BY h.member_id, h.recorded_at;
