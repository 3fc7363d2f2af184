-- The ledger within a time. WHERE is replaced by the conditions that are asked for, KEYS and GROUPS by what is summed
-- by: each combination is a query of its own, with a plan of its own.

-- name: cost_sums
-- Guarantees: exact sums; what is reused counts apart, as no call was made for it.
select KEYS
       count(*) filter (where certainty <> 'reused') as calls,
       count(*) filter (where certainty = 'reused') as reused,
       coalesce(sum(amount) filter (where certainty = 'billed'), 0) as billed,
       coalesce(sum(amount) filter (where certainty = 'possibly_billed'), 0) as possibly_billed
from cost_entries
where created_at >= :since and created_at < :until WHERE
GROUPS
limit :most;

-- name: cost_rows
-- Guarantees: the newest first, in one order for all pages.
select id, created_at, user_id, cost_center, media_item_id, job_id, service, operation, item, units, unit, unit_price,
       price_version, amount, certainty
from cost_entries
where created_at >= :since and created_at < :until WHERE
order by created_at desc, id desc
limit :most;
