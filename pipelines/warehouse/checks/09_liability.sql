-- Opening + movements = closing, each opening is the closing before, and the last one is what members hold.
-- over: SELECT count(*) FROM liability
SELECT market || ' ' || CAST(day AS VARCHAR) || ': ' || opening || ' and its movements are not ' || closing AS what FROM liability
WHERE opening + issued + redeemed + expired + clawed_back + adjusted + erased + repaid + other <> closing
UNION ALL
SELECT market || ' ' || CAST(day AS VARCHAR) || ' opens with ' || opening || ', before it closed with ' || before FROM (
    SELECT *, lag(closing, 1, 0) OVER (PARTITION BY market ORDER BY day) AS before FROM liability) WHERE before <> opening
UNION ALL
SELECT 'the last closings are ' || closing || ', members hold ' || held FROM
    (SELECT coalesce(sum(closing), 0) AS closing FROM (FROM liability QUALIFY row_number() OVER (PARTITION BY market ORDER BY day DESC) = 1)),
    (SELECT coalesce(sum(to_liability), 0) AS held FROM fact_points) WHERE closing <> held
