-- What the ledger says of every lot: what it holds of all that was issued, and where that is. `spent` is what decisions
-- took out of it (or, by an agent, put into it), less what is owed or was written off for it.

-- A lot belongs to whose order, engagement, enrolment or command it is of: when members are merged it is the person's,
-- whatever of it was booked under which of the ids.
CREATE TABLE lot_source AS
SELECT DISTINCT member_id AS told_by, 'order:' || order_id AS lot_id FROM fact_order
UNION
SELECT member_id, 'engagement:' || engagement_id FROM fact_engagement
UNION
SELECT member_id, 'welcome:' || member_id FROM fact_member
UNION
SELECT member_id, 'adjust:' || command_id FROM command_result WHERE kind = 'ADJUST';

CREATE TABLE held_ledger AS
SELECT l.* REPLACE (coalesce(p.member_id, l.member_id) AS member_id)
FROM ledger l
LEFT JOIN lot_source own ON own.told_by = l.member_id AND own.lot_id = l.lot_id
LEFT JOIN (SELECT lot_id, any_value(told_by) AS told_by FROM lot_source GROUP BY lot_id) other ON other.lot_id = l.lot_id
LEFT JOIN person p ON p.told_by = coalesce(own.told_by, other.told_by);

CREATE TABLE ledger_lot AS
SELECT member_id, lot_id, -sum(points) FILTER (WHERE account IN ('ISSUED', 'CLAWED_BACK'))::BIGINT AS held,
       coalesce(sum(points) FILTER (WHERE account = 'PENDING'), 0)::BIGINT AS pending,
       coalesce(sum(points) FILTER (WHERE account = 'ACTIVE'), 0)::BIGINT AS active,
       coalesce(sum(points) FILTER (WHERE account = 'EXPIRED'), 0)::BIGINT AS expired,
       coalesce(sum(points) FILTER (WHERE account IN ('RESERVED', 'REDEEMED', 'DEBT', 'WRITTEN_OFF', 'ADJUSTED')), 0)::BIGINT AS spent
FROM (
    SELECT member_id, lot_id, to_account AS account, points FROM held_ledger
    UNION ALL
    SELECT member_id, lot_id, from_account, -points FROM held_ledger
)
ANTI JOIN erased_person USING (member_id)
GROUP BY member_id, lot_id;

-- Orders granted by one transaction and never refunded: their components can be compared one by one. A refund of a
-- few cents may leave the total as it was, and so move nothing, while the whole points would be shared out anew:
-- 67.09 at Pacer is 83 = 67 + 16, and so is 66.60, but as 66 + 17.
CREATE TABLE untouched_order AS
SELECT member_id, lot_id
FROM held_ledger ANTI JOIN erased_person USING (member_id)
ANTI JOIN (
    SELECT member_id, 'order:' || order_id AS lot_id FROM order_now SEMI JOIN refund USING (order_no)
) USING (member_id, lot_id)
WHERE starts_with(lot_id, 'order:')
GROUP BY member_id, lot_id
HAVING count(DISTINCT transaction_id) FILTER (WHERE from_account = 'ISSUED') = 1
   AND count(*) FILTER (WHERE to_account = 'CLAWED_BACK') = 0
   AND count(*) FILTER (WHERE from_account = 'ISSUED' AND reason NOT IN ('BASE', 'TIER_BONUS', 'CAMPAIGN', 'THRESHOLD')) = 0;
