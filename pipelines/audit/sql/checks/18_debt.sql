-- Nobody owes points and has active ones: a debt is repaid by what is active.
-- over: SELECT count(DISTINCT member_id) FROM balance
SELECT member_id AS who, 'owes ' || debt || ' and has ' || active || ' active' AS what
FROM (SELECT * FROM balance QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY "partition", "offset" DESC) = 1)
WHERE debt > 0 AND active > 0 OR debt < 0
