-- One row a member and time at one tier (type 2): from `valid_from` on, and before `valid_to`, the member was there.
-- @valid_to: When the tier ended; null for the one that stands.
-- @is_current: Whether it is the tier that stands.
-- @enrolled_at: From when the member earns.
-- @erased_at: When the member was erased; null otherwise.
-- @merged_into: The member who is the same person; null for most.
WITH told AS (
    SELECT *, row_number() OVER (PARTITION BY member_id ORDER BY source_partition, source_offset) AS nth FROM tiers),
standing AS (
    SELECT *, min(effective_at) FILTER (kind = 'CORRECTED') OVER (
               PARTITION BY member_id ORDER BY nth ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS corrected_from
    FROM told QUALIFY corrected_from IS NULL OR corrected_from > effective_at),
moved AS (
    SELECT *, lag(tier) OVER (PARTITION BY member_id ORDER BY effective_at, nth) AS tier_before
    FROM standing QUALIFY tier_before IS DISTINCT FROM tier),
spans AS (
    SELECT member_id, tier, effective_at AS valid_from,
           lead(effective_at) OVER (PARTITION BY member_id ORDER BY effective_at, nth) AS valid_to
    FROM moved QUALIFY valid_to IS NULL OR valid_to > valid_from),
known AS (
    SELECT * FROM members QUALIFY row_number() OVER (
        PARTITION BY member_id ORDER BY version DESC, source_offset) = 1)
SELECT s.member_id, k.market, s.tier, s.valid_from, s.valid_to, s.valid_to IS NULL AS is_current,
       k.enrolled_at, CAST(k.enrolled_at AS DATE) AS enrolled_on, k.erased_at, k.merged_into
FROM spans s LEFT JOIN known k USING (member_id);
