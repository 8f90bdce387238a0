-- Every message of a command is answered once, unless the member was erased, and under one command id always the same.
-- over: SELECT count(DISTINCT (member_id, event_id)) FROM fact_command
WITH asked AS (
    SELECT member_id, command_id, count(DISTINCT event_id) AS messages
    FROM fact_command ANTI JOIN dead_letter USING (topic, "partition", "offset")
    GROUP BY ALL
), ended AS (
    SELECT told_by AS member_id FROM person SEMI JOIN erased_person USING (member_id)
), answered AS (
    SELECT member_id, command_id, count(*) AS answers,
           count(DISTINCT (status, refusal, points_moved, active_before, active_after, transaction_id, recorded_at)) AS kinds
    FROM command_result GROUP BY ALL
)
SELECT member_id || ' ' || command_id AS who,
       coalesce(messages, 0) || ' messages, ' || coalesce(answers, 0) || ' answers of ' || coalesce(kinds, 0) || ' kinds' AS what
FROM asked FULL JOIN answered USING (member_id, command_id) ANTI JOIN ended USING (member_id)
WHERE messages IS DISTINCT FROM answers OR kinds > 1
UNION ALL
SELECT member_id || ' ' || command_id, messages || ' messages of an erased member, ' || answers || ' answers of ' || kinds || ' kinds'
FROM asked JOIN answered USING (member_id, command_id) SEMI JOIN ended USING (member_id)
WHERE answers > messages OR kinds > 1
