-- What running jobs write comes as rows, many at once; `n` says which row an answer is for. Each may be repeated:
-- it then changes nothing, and answers as before.

-- name: lock_jobs!
-- Guarantees: transactions that write to the same jobs do so one after the other, and in no circle; and where
-- Postgres can (since 17), it ends one that takes too long: a client that froze between the parts of a statement
-- is not idle to it.
select id, (select set_config('transaction_timeout', :patience, true)
            where current_setting('transaction_timeout', true) is not null)
from jobs where id = any(:ids::text[]) order by id for no key update;

-- name: start_jobs
-- Guarantees: each start has a fence above all before it, and takes an attempt unless the last owner died
-- in the middle of one: then the same attempt goes on, and the death is counted. Returns no row for a job that
-- is closed or unknown.
with given as (
    select * from json_to_recordset(:rows) as given (n int, id text, owner text, lease float8)
), new as (
    select given.*, jobs.lease_owner is distinct from given.owner as is_new
    from given join jobs using (id)
)
update jobs
set fence = fence + case when is_new then 1 else 0 end,
    deaths = deaths + case when is_new and status = 'active' then 1 else 0 end,
    attempts = attempts + case when is_new and status <> 'active' then 1 else 0 end,
    status = 'active',
    lease_owner = new.owner,
    lease_until = now() + make_interval(secs => new.lease),
    due_at = null,
    processed_at = now()
from new
where jobs.id = new.id and status in ('waiting', 'active', 'delayed')
returning new.n, jobs.*;

-- name: renew_leases
-- Guarantees: only the newest owner keeps a job; returns no row to any other.
update jobs set lease_until = now() + make_interval(secs => given.lease)
from json_to_recordset(:rows) as given (n int, id text, fence bigint, lease float8)
where jobs.id = given.id and jobs.fence = given.fence and status = 'active'
returning n;

-- name: write_progress
-- Guarantees: only the newest owner writes progress; returns no row to any other.
update jobs set progress = given.progress
from json_to_recordset(:rows) as given (n int, id text, fence bigint, progress json)
where jobs.id = given.id and jobs.fence = given.fence and status = 'active'
returning n;

-- name: end_attempts
-- Guarantees: only the newest owner ends an attempt, and a closed job stays as it was closed.
update jobs
set status = given.status,
    progress = coalesce(given.progress, jobs.progress),
    result = given.result,
    failed_reason = given.reason,
    stacktrace = case when given.trace is null then stacktrace else stacktrace || given.trace end,
    due_at = now() + make_interval(secs => given.delay),
    finished_at = case when given.status in ('completed', 'failed') then now() end,
    lease_owner = null,
    lease_until = null
from json_to_recordset(:rows) as given (n int, id text, fence bigint, status text, progress json, result json,
                                        reason text, trace text, delay float8)
where jobs.id = given.id and jobs.fence = given.fence and jobs.status = 'active'
returning n;

-- name: ended_attempts
-- Guarantees: finds the attempts that ended so, now or when the same was written before.
select n from json_to_recordset(:rows) as given (n int, id text, fence bigint, status text)
join jobs on jobs.id = given.id and jobs.fence = given.fence and jobs.status = given.status;

-- name: release_jobs
-- Guarantees: an interrupted attempt is handed back unused.
update jobs
set status = 'waiting', attempts = greatest(attempts - 1, 0), lease_owner = null, lease_until = null
from json_to_recordset(:rows) as given (n int, id text, fence bigint)
where jobs.id = given.id and jobs.fence = given.fence and status = 'active'
returning n;
