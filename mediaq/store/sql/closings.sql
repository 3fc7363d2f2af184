-- name: job_owners
-- Guarantees: type and user alone, of those of the ids that are on record.
select id, type, user_id from jobs where id = any(:ids::text[]);

-- name: job_standings
-- Guarantees: what listeners are told of jobs, and neither their requests nor, of open ones, the results so far.
select id, type, user_id, status, progress, attempts, failed_reason, finished_at,
       case when status in ('completed', 'failed') then result end as result
from jobs where id = any(:ids::text[]);

-- name: find_closed
-- Guarantees: of the jobs of these ids, those that are closed or no longer on record; and those jobs of these users,
-- or of everybody, that were closed within so many seconds. No results: they may be large, and known already.
select given.id, null as user_id, finished_at, jobs.id is null as gone
from unnest(:ids::text[]) as given (id) left join jobs using (id)
where jobs.id is null or status in ('completed', 'failed')
union all
select id, user_id, finished_at, false from jobs
where status in ('completed', 'failed') and finished_at > now() - make_interval(secs => :seconds)
  and (:everybody or user_id = any(:users::text[]));

-- name: closed_jobs
-- Guarantees: of those of the ids whose jobs are closed, how they ended.
select id, type, user_id, status, attempts, result, failed_reason, finished_at from jobs
where id = any(:ids::text[]) and status in ('completed', 'failed');

-- name: closed_since
-- Guarantees: reads the jobs of a user, or of all users, in the order in which they were closed.
select id, type, user_id, status, attempts, result, failed_reason, finished_at from jobs
where status in ('completed', 'failed') and (:user_id::text is null or user_id = :user_id)
  and (finished_at, id) > (:finished_at, :id)
order by finished_at, id
limit :most;

-- name: open_progress
-- Guarantees: of open jobs what is small, the longest accepted first.
select id, type, user_id, progress from jobs
where status in ('waiting', 'active', 'delayed') and (:user_id::text is null or user_id = :user_id)
order by accepted_at, id
limit :most;
