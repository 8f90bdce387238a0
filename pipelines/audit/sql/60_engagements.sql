-- What a member did other than buying.
--
-- Activities: points for each whole `per_m` metres of a verified one, at most `cap_per_day` on the local day of the
-- activity's own zone, in the order in which they happened (then by id). With a cap on a running total, each gets
-- what the total, cut at the cap, grows by. 28 March 2026 23:30Z in Berlin is 29 March.

CREATE TABLE activity_worth AS
WITH wanted AS (
    SELECT e.member_id, e.engagement_id, e.occurred_at, a.kind, a.cap_per_day,
           timezone(e.zone, make_timestamptz(e.occurred_at * 1000))::DATE AS local_day,
           CASE WHEN e.status <> 'DELETED' AND list_contains(a.verifications, e.verification)
                THEN coalesce(e.distance_m, 0) // a.per_m * a.points ELSE 0 END AS points
    FROM engagement_now e
    JOIN activity a ON a.v = e.v AND a.kind = e.kind
), running AS (
    SELECT *, sum(points) OVER (PARTITION BY member_id, kind, local_day ORDER BY occurred_at, engagement_id) AS total
    FROM wanted
)
SELECT member_id, engagement_id,
       (least(total, cap_per_day) - least(total - points, cap_per_day))::BIGINT AS points
FROM running;

-- Once a subject (a review, once a product), or once a member (a profile): the first that was not deleted.
CREATE TABLE once_worth AS
SELECT e.member_id, e.engagement_id,
       CASE WHEN e.status <> 'DELETED'
             AND row_number() OVER (PARTITION BY e.member_id, e.kind, CASE WHEN o.per_subject THEN coalesce(e.subject, '') END,
                                                 e.status = 'DELETED'
                                    ORDER BY e.occurred_at, e.engagement_id) = 1
            THEN o.points ELSE 0 END::BIGINT AS points
FROM engagement_now e
JOIN once o ON o.v = e.v AND o.kind = e.kind;
