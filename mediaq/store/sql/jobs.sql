-- name: job_by_id^
-- Guarantees: all of a job as it is at this moment; no row where there is none.
select * from jobs where id = :id;

-- name: plan_by_values!
-- Guarantees: until the connection is given back its queries are planned for the values that they are given, so that
-- conditions without a value cost nothing and those with one find their index.
select set_config('plan_cache_mode', 'force_custom_plan', false);

-- name: list_jobs
-- Guarantees: the jobs before a place, newest first, each once however many come meanwhile; of each what is small.
select id, type, user_id, media_item_id, cost_center, status, progress, attempts, max_attempts, failed_reason,
       accepted_at, processed_at, finished_at
from jobs
where (:user_id::text is null or user_id = :user_id)
  and (:type::text is null or type = :type)
  and (:status::text is null or status = :status)
  and (:media_item_id::text is null or media_item_id = :media_item_id)
  and (:cost_center::text is null or cost_center = :cost_center)
  and (:since::timestamptz is null or accepted_at >= :since)
  and (:until::timestamptz is null or accepted_at < :until)
  and (:accepted_at::timestamptz is null or (accepted_at, id) < (:accepted_at, :id))
order by accepted_at desc, id desc
limit :most;

-- name: purge_jobs$
-- Guarantees: only closed jobs go, with their runs, a batch at a time; their cost rows stay.
with gone as (
    delete from jobs where id in (
        select id from jobs
        where status in ('completed', 'failed') and finished_at < now() - make_interval(days => :days)
        limit :most)
    returning 1)
select count(*) from gone;
