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
-- Guarantees: one job per user and idempotency key; returns no row where the key is taken.
insert into jobs (id, type, user_id, cost_center, media_item_id, request, progress, max_attempts, idempotency_key, digest)
values (:id, :type, :user_id, :cost_center, :media_item_id, :request, :progress, :max_attempts, :idempotency_key, :digest)
on conflict (user_id, idempotency_key) where idempotency_key is not null do nothing
returning *;

-- name: job_by_key^
select * from jobs where user_id = :user_id and idempotency_key = :idempotency_key;

-- name: job_by_id^
select * from jobs where id = :id;

-- name: list_jobs
select * from jobs
where (:user_id::text is null or user_id = :user_id) and (:status::text is null or status = :status)
order by accepted_at desc, id desc
limit :most;

-- name: take_open_jobs
-- Guarantees: open jobs without a live owner, each to one caller at a time: those whose worker died first, then
-- the longest unseen.
update jobs set reconciled_at = now()
where id in (
    select id from jobs
    where status in ('waiting', 'active', 'delayed')
      and (lease_until is null or lease_until < now())
      and accepted_at < now() - interval '2 seconds'
      and type = any(:types::text[])
    order by status <> 'active', reconciled_at nulls first
    limit :batch
    for update skip locked)
returning *;

-- name: count_death!
-- Guarantees: a death before the start counts too, so that no job is pushed for ever.
update jobs set deaths = deaths + 1 where id = :id and fence = :fence and status in ('waiting', 'delayed');

-- name: close_job$
-- Guarantees: closes a job whose end is known from elsewhere, unless someone started it meanwhile.
update jobs
set status = 'failed', failed_reason = :failed_reason, finished_at = now(), lease_owner = null, lease_until = null,
    due_at = null
where id = :id and fence = :fence and status in ('waiting', 'active', 'delayed')
  and (lease_until is null or lease_until < now())
returning media_item_id;

-- name: purge_jobs$
-- Guarantees: only closed jobs go, with their runs, a batch at a time; their cost rows stay.
with gone as (
    delete from jobs where id in (
        select id from jobs
        where status in ('completed', 'failed') and finished_at < now() - make_interval(days => :days)
        limit :most)
    returning 1)
select count(*) from gone;
