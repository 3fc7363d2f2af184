-- name: accept_jobs
-- Guarantees: puts jobs on record in one round trip, as the migration that made it says; returns those that it has put
-- there.
select * from accept_jobs(:rows, :users, :items, :keys, :patience);

-- name: media_item_owners
-- Guarantees: of media items that this transaction has locked, the owners.
select id, user_id from media_items where id = any(:ids::text[]);

-- name: accepted_jobs
-- Guarantees: finds the jobs that stood in the way of an insert.
select jobs.* from jobs
where id = any(:ids::text[])
   or (user_id, idempotency_key) in (select * from unnest(:users::text[], :keys::text[]));

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
