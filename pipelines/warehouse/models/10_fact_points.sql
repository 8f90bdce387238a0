-- One row a ledger entry, with what it does to the points that members can spend, wait for, hold in reserve or owe.
-- @issued: Points that came into being with it.
-- @taken_back: Points that went because what earned them was returned, cancelled or deleted.
-- @to_active: What it adds to the points that can be spent; below 0 when it takes.
-- @to_pending: The same of points that wait for their return window to pass.
-- @to_reserved: The same of points held by reservations.
-- @to_debt: The same of points owed.
-- @to_liability: What it adds to all that the programme owes its members: active, pending and reserved.
-- @order_id: The order whose points they are; null for other lots.
SELECT entry_id, transaction_id, member_id, market, sequence, lot_id,
       CASE WHEN starts_with(lot_id, 'order:') THEN substr(lot_id, 7) END AS order_id,
       points, from_account, to_account, reason, rule_id, programme_version, tier_at_event,
       effective_at, recorded_at, CAST(effective_at AS DATE) AS effective_on,
       CASE WHEN from_account = 'ISSUED' THEN points ELSE 0 END AS issued,
       CASE WHEN to_account = 'CLAWED_BACK' THEN points ELSE 0 END AS taken_back,
       CASE 'ACTIVE' WHEN to_account THEN points WHEN from_account THEN -points ELSE 0 END AS to_active,
       CASE 'PENDING' WHEN to_account THEN points WHEN from_account THEN -points ELSE 0 END AS to_pending,
       CASE 'RESERVED' WHEN to_account THEN points WHEN from_account THEN -points ELSE 0 END AS to_reserved,
       CASE 'DEBT' WHEN to_account THEN -points WHEN from_account THEN points ELSE 0 END AS to_debt,
       CASE WHEN to_account IN ('ACTIVE', 'PENDING', 'RESERVED') THEN points ELSE 0 END
           - CASE WHEN from_account IN ('ACTIVE', 'PENDING', 'RESERVED') THEN points ELSE 0 END AS to_liability
FROM ledger;
