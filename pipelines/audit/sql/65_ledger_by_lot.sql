-- What the ledger says of every lot: what it holds of all that was issued, and where that is. `spent` is what decisions
-- took out of it (or, by an agent, put into it), less what is owed or was written off for it.

CREATE TABLE ledger_lot AS
SELECT member_id, lot_id, -sum(points) FILTER (WHERE account IN ('ISSUED', 'CLAWED_BACK'))::BIGINT AS held,
       coalesce(sum(points) FILTER (WHERE account = 'PENDING'), 0)::BIGINT AS pending,
       coalesce(sum(points) FILTER (WHERE account = 'ACTIVE'), 0)::BIGINT AS active,
       coalesce(sum(points) FILTER (WHERE account = 'EXPIRED'), 0)::BIGINT AS expired,
       coalesce(sum(points) FILTER (WHERE account IN ('RESERVED', 'REDEEMED', 'DEBT', 'WRITTEN_OFF', 'ADJUSTED')), 0)::BIGINT AS spent
FROM (
    SELECT member_id, lot_id, to_account AS account, points FROM ledger
    UNION ALL
    SELECT member_id, lot_id, from_account, -points FROM ledger
)
GROUP BY member_id, lot_id;

-- Orders granted by one transaction and never refunded: their components can be compared one by one. A refund of a
-- few cents may leave the total as it was, and so move nothing, while the whole points would be shared out anew:
-- 67.09 at Pacer is 83 = 67 + 16, and so is 66.60, but as 66 + 17.
CREATE TABLE untouched_order AS
SELECT member_id, lot_id
FROM ledger
ANTI JOIN (
    SELECT member_id, 'order:' || order_id AS lot_id FROM order_now SEMI JOIN refund USING (order_no)
) USING (member_id, lot_id)
WHERE starts_with(lot_id, 'order:')
GROUP BY member_id, lot_id
HAVING count(DISTINCT transaction_id) FILTER (WHERE from_account = 'ISSUED') = 1
   AND count(*) FILTER (WHERE to_account = 'CLAWED_BACK') = 0
   AND count(*) FILTER (WHERE from_account = 'ISSUED' AND reason NOT IN ('BASE', 'TIER_BONUS', 'CAMPAIGN', 'THRESHOLD')) = 0;
