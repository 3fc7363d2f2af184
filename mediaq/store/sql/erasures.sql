-- name: lock_jobs_of!
-- Guarantees: nobody writes to the item's jobs before the transaction ends; taken before the item, in the order in
-- which all take them, so that none waits for another in a circle.
select id from jobs where media_item_id = :id order by id for update;

-- name: lock_erasable_item$
-- Guarantees: no further job is accepted for the item before the transaction ends.
select user_id from media_items where id = :id for update;

-- name: lock_later_jobs_of!
-- Guarantees: of an item that is locked, also the jobs are that came since `lock_jobs_of`; fails where somebody else
-- has one, who may be about to wait for the item.
select id from jobs where media_item_id = :id order by id for update nowait;

-- name: begin_erasures
-- Guarantees: each of the item's jobs is remembered until what it left outside Postgres is gone; one that runs, or
-- whose call may go on at the provider, for as long as an attempt may take. Who deletes has `head_start` seconds to
-- clear up before others do.
insert into erasures (job_id, type, due_at, ends_at)
select id, type, now() + make_interval(secs => :head_start),
       now() + case when status = 'active'
                      or exists (select from operation_runs
                                 where job_id = jobs.id and token is not null and state in ('started', 'unanswered'))
                    then make_interval(secs => coalesce(timeouts.seconds, 0)) else interval '0' end
from jobs left join unnest(:types::text[], :timeouts::float8[]) as timeouts (type, seconds) using (type)
where media_item_id = :id
returning job_id, type;

-- name: delete_media_item!
-- Guarantees: the item goes, with its jobs, their calls and results, and its vectors; cost rows stay.
delete from media_items where id = :id;

-- name: claim_erasures
-- Guarantees: of processes that ask at once, each gets others; what is not done comes up again, after waits that
-- double.
update erasures
set due_at = now() + least(greatest(now() - erased_at, interval '1 second'), interval '10 minutes')
where job_id in (select job_id from erasures where due_at <= now() order by due_at limit :most for update skip locked)
returning job_id, type;

-- name: end_erasures
-- Guarantees: a job that was cleared up after is forgotten once nothing can be added any more.
delete from erasures where job_id = any(:ids::text[]) and ends_at <= now()
returning job_id;

-- name: is_being_erased$
-- Guarantees: whether a job is deleted and not cleared up after.
select exists (select from erasures where job_id = :id);
