-- name: insert_media_items!
-- Guarantees: unknown media items belong to the caller from now on; known ones stay whose they are. In one order, so
-- that of two who bring the same none waits for the other in a circle.
insert into media_items (id, user_id) select id, :user_id from unnest(:ids::text[]) as id order by id
on conflict (id) do nothing;

-- name: media_item_owners
-- Guarantees: the owners it returns cannot lose the items before the transaction ends.
select id, user_id from media_items where id = any(:ids::text[]) order by id for key share;

-- name: forget_old_keys!
-- Guarantees: an idempotency key is free again a day after the job that used it.
update jobs set idempotency_key = null
where id in (
    select id from jobs
    where user_id = :user_id and idempotency_key = any(:keys::text[]) and accepted_at < now() - interval '24 hours'
    order by id for no key update);

-- name: insert_jobs
-- Guarantees: one job an id, and one per user and idempotency key; waits for a transaction that is inserting one
-- of the same, and returns no row where either is taken.
insert into jobs (id, type, user_id, cost_center, media_item_id, request, progress, max_attempts, idempotency_key, digest,
                  estimate, user_cap, cost_center_cap, webhook)
select id, type, user_id, cost_center, media_item_id, request, progress, max_attempts, idempotency_key, digest,
       estimate, user_cap, cost_center_cap, webhook
from json_to_recordset(:rows) as given (
    n int, id text, type text, user_id text, cost_center text, media_item_id text, request json, progress json,
    max_attempts int, idempotency_key text, digest text, estimate numeric, user_cap numeric,
    cost_center_cap numeric, webhook text)
order by n
on conflict do nothing
returning *;

-- name: accepted_jobs
-- Guarantees: finds the jobs that stood in the way of an insert.
select * from jobs
where id = any(:ids::text[]) or (user_id = :user_id and idempotency_key = any(:keys::text[]));

-- name: lock_user!
-- Guarantees: of transactions that count a user's open jobs, one at a time goes on.
select pg_advisory_xact_lock(hashtextextended('open jobs of ' || :user_id, 0));

-- name: count_open_jobs$
-- Guarantees: after `lock_user`, counts every open job that was accepted before, as far as `most`.
select count(*) from (
    select from jobs where user_id = :user_id and status in ('waiting', 'active', 'delayed') limit :most) as open;

-- name: take_back_jobs
-- Guarantees: jobs that this transaction has put on record are not; returns their media items.
with gone as (delete from jobs where id = any(:ids::text[]) returning media_item_id)
select distinct media_item_id from gone;

-- name: take_back_media_items!
-- Guarantees: of media items that this transaction has made, those that have no job are not on record.
delete from media_items
where id = any(:ids::text[]) and created_at = now()
  and not exists (select from jobs where media_item_id = media_items.id);
