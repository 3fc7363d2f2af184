-- name: cancel_job^
-- Guarantees: an open job is closed as cancelled, whoever has it: by its new fence its owner begins no further call,
-- writes no progress and ends no attempt. Returns no row for one that is closed or unknown.
update jobs
set status = 'failed', failed_reason = 'cancelled', fence = fence + 1, finished_at = now(),
    due_at = null, lease_owner = null, lease_until = null,
    progress = json_build_object('current', progress -> 'current', 'total', progress -> 'total',
                                 'message', 'cancelled', 'subTasks', progress -> 'subTasks')
where id = :id and status in ('waiting', 'active', 'delayed')
returning *;

-- name: failed_jobs
-- Guarantees: finds jobs that failed, those first that were accepted first; none that was cancelled.
select id from jobs
where status = 'failed' and failed_reason is distinct from 'cancelled'
  and (:user_id::text is null or user_id = :user_id)
  and (:type::text is null or type = :type)
  and (:media_item_id::text is null or media_item_id = :media_item_id)
  and (:cost_center::text is null or cost_center = :cost_center)
  and (:since::timestamptz is null or accepted_at >= :since)
  and (:until::timestamptz is null or accepted_at < :until)
order by accepted_at, id
limit :most;

-- name: failed_jobs_with_done
-- Guarantees: of jobs that have failed, each with the operations whose results are on record.
select jobs.*, array(select distinct operation from operation_runs run
                     where run.job_id = jobs.id and run.part = '' and run.state = 'succeeded') as done
from jobs where id = any(:ids::text[]) and status = 'failed';

-- name: lock_in_order!
-- Guarantees: of those who write to the same jobs none waits for the other in a circle.
select id from jobs where id = any(:ids::text[]) order by id for no key update;

-- name: reopen_jobs
-- Guarantees: a failed job is as it was when it was accepted, but for what was obtained; once, however many ask. By
-- its new fence nobody who knew it before writes to it, by its new opening nothing in Redis from before counts.
update jobs
set status = 'waiting', opening = opening + 1, fence = fence + 1, attempts = 0, deaths = 0, died_of_push = '',
    failed_reason = null, stacktrace = '{}', due_at = null, processed_at = null, finished_at = null,
    lease_owner = null, lease_until = null,
    progress = json_build_object(
        'current', (select count(*) from json_each(progress -> 'subTasks') where value ->> 'status' = 'completed'),
        'total', progress -> 'total',
        'message', 'waiting',
        'subTasks', coalesce(
            (select json_object_agg(key, case when value ->> 'status' = 'completed' then value
                                              else json_build_object('status', 'pending') end)
             from json_each(progress -> 'subTasks')), '{}'))
where id = any(:ids::text[]) and status = 'failed'
returning id, type, user_id, status, progress, attempts, max_attempts, deaths, died_of_push, fence, accepted_at, due_at,
          opening, media_item_id;

-- name: set_terms!
-- Guarantees: jobs' reservations follow their estimates from here on, which are of all that each costs, as a worker's
-- are: what it has cost, and what it may still cost.
update jobs
set estimate = given.estimate + (select coalesce(sum(amount), 0) from cost_entries where job_id = jobs.id),
    user_cap = given.user_cap, cost_center_cap = given.cost_center_cap
from json_to_recordset(:rows) as given (id text, estimate numeric, user_cap numeric, cost_center_cap numeric)
where jobs.id = given.id;

-- name: count_earlier_costs!
-- Guarantees: what jobs had cost before they were opened again is in their reservations, which hold the rest.
update reservations
set spent = (select coalesce(sum(amount), 0) from cost_entries where job_id = reservations.job_id)
where job_id = any(:ids::text[]);

-- name: forget_refusals!
-- Guarantees: what the provider refused is asked again; a job that it reported as failed still counts as one, so
-- that the next gets another name.
update operation_runs set state = case when token is null then 'failed' else 'job_failed' end
where job_id = any(:ids::text[]) and state = 'refused';
