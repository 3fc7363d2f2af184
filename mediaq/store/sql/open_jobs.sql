-- name: open_jobs
-- Guarantees: reads open jobs without a live owner, in the order in which they were accepted, and of each what is
-- small: a request may have a megabyte. Those of the last moment are still with who accepts them.
select id, type, user_id, status, progress, attempts, max_attempts, deaths, died_of_push, fence, accepted_at, due_at,
       opening
from jobs
where status in ('waiting', 'active', 'delayed')
  and (accepted_at, id) > (:accepted_at, :id)
  and accepted_at < now() - interval '2 seconds'
  and (lease_until is null or lease_until < now())
  and type = any(:types::text[])
order by accepted_at, id
limit :most;

-- name: untouched_jobs
-- Guarantees: of jobs that were read before, those that are still open and without a live owner, and that nobody
-- has started since.
select id from jobs join unnest(:ids::text[], :fences::bigint[]) as read (id, fence) using (id, fence)
where status in ('waiting', 'active', 'delayed') and (lease_until is null or lease_until < now());

-- name: count_death$
-- Guarantees: a death before the start counts too, so that no job is pushed for ever; and once for each push,
-- whoever counts it how often. Returns no row where someone started the job meanwhile.
update jobs
set deaths = deaths + case when died_of_push = :push then 0 else 1 end, died_of_push = :push
where id = :id and fence = :fence and status in ('waiting', 'delayed')
returning id;

-- name: hand_back_job$
-- Guarantees: an attempt that was cut off is unused, unless someone goes on with it.
update jobs
set status = 'waiting', attempts = greatest(attempts - 1, 0), lease_owner = null, lease_until = null
where id = :id and fence = :fence and status = 'active' and lease_until < now()
returning media_item_id;

-- name: close_job$
-- Guarantees: closes a job whose end is known from elsewhere, unless someone started it meanwhile.
update jobs
set status = 'failed', failed_reason = :failed_reason, stacktrace = stacktrace || :traces::text[],
    finished_at = now(), lease_owner = null, lease_until = null, due_at = null
where id = :id and fence = :fence and status in ('waiting', 'active', 'delayed')
  and (lease_until is null or lease_until < now())
returning media_item_id;
