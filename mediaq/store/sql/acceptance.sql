-- name: insert_media_item!
-- Guarantees: an unknown media item belongs to the caller from now on; a known one stays whose it is.
insert into media_items (id, user_id) values (:id, :user_id) on conflict (id) do nothing;

-- name: media_item_owner$
-- Guarantees: the owner it returns cannot lose the item before the transaction ends.
select user_id from media_items where id = :id for key share;

-- name: forget_old_key!
-- Guarantees: an idempotency key is free again a day after the job that used it.
update jobs set idempotency_key = null
where user_id = :user_id and idempotency_key = :idempotency_key and accepted_at < now() - interval '24 hours';

-- name: insert_job^
-- Guarantees: one job an id, and one per user and idempotency key; waits for a transaction that is inserting one
-- of the same, and returns no row where either is taken.
insert into jobs (id, type, user_id, cost_center, media_item_id, request, progress, max_attempts, idempotency_key, digest,
                  estimate, user_cap, cost_center_cap)
values (:id, :type, :user_id, :cost_center, :media_item_id, :request, :progress, :max_attempts, :idempotency_key, :digest,
        :estimate, :user_cap, :cost_center_cap)
on conflict do nothing
returning *;

-- name: accepted_job^
-- Guarantees: finds the job that stood in the way of an insert.
select * from jobs where id = :id or (user_id = :user_id and idempotency_key = :idempotency_key);

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
