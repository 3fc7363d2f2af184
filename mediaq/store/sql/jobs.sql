-- name: job_by_id^
select * from jobs where id = :id;

-- name: list_jobs
select * from jobs
where (:user_id::text is null or user_id = :user_id) and (:status::text is null or status = :status)
order by accepted_at desc, id desc
limit :most;

-- name: start_job^
-- Guarantees: each start has a fence above all before it, and takes an attempt unless the last owner died
-- in the middle of one: then the same attempt goes on, and the death is counted.
update jobs
set fence = fence + 1,
    deaths = deaths + case when status = 'active' then 1 else 0 end,
    attempts = attempts + case when status = 'active' then 0 else 1 end,
    status = 'active',
    lease_owner = :owner,
    lease_until = now() + make_interval(secs => :lease),
    due_at = null,
    processed_at = now()
where id = :id and status in ('waiting', 'active', 'delayed')
returning *;

-- name: renew_lease$
-- Guarantees: only the newest owner keeps the job; returns no row to any other.
update jobs set lease_until = now() + make_interval(secs => :lease)
where id = :id and fence = :fence and status = 'active'
returning id;

-- name: write_progress$
-- Guarantees: only the newest owner writes progress; returns no row to any other.
update jobs set progress = :progress
where id = :id and fence = :fence and status = 'active'
returning id;

-- name: end_attempt$
-- Guarantees: only the newest owner ends an attempt, and a closed job stays as it was closed.
update jobs
set status = :status,
    result = :result,
    failed_reason = :failed_reason,
    stacktrace = case when :trace::text is null then stacktrace else stacktrace || :trace end,
    due_at = now() + make_interval(secs => :delay),
    finished_at = case when :status in ('completed', 'failed') then now() end,
    lease_owner = null,
    lease_until = null
where id = :id and fence = :fence and status = 'active'
returning media_item_id;

-- name: release_job$
-- Guarantees: an interrupted attempt is handed back unused.
update jobs
set status = 'waiting', attempts = greatest(attempts - 1, 0), lease_owner = null, lease_until = null
where id = :id and fence = :fence and status = 'active'
returning media_item_id;

-- name: lock_media_item$
-- Guarantees: those who derive an item's status from its jobs do so one after the other.
select id from media_items where id = :id for no key update;

-- name: derive_media_status!
-- Guarantees: an item's status is that of its jobs: processing while one runs, pending while one is open,
-- else how the last one ended.
update media_items
set processing_status = coalesce(
        (select case when bool_or(status = 'active') then 'processing' when count(*) > 0 then 'pending' end
         from jobs where media_item_id = :id and status in ('waiting', 'active', 'delayed')),
        (select status from jobs where media_item_id = :id order by finished_at desc nulls last limit 1),
        'pending'),
    updated_at = now()
where id = :id;

-- name: add_media_results!
-- Guarantees: a job's results join those of earlier jobs; the cost is that of all calls for this item that are
-- known to be billed.
update media_items
set metadata = metadata || :results || jsonb_build_object(
        'processingCost', (select coalesce(sum(amount), 0) from cost_entries
                           where media_item_id = :id and certainty <> 'possibly_billed'),
        'processedAt', to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')),
    updated_at = now()
where id = :id;

-- name: purge_jobs$
-- Guarantees: only closed jobs go, with their runs, a batch at a time; their cost rows stay.
with gone as (
    delete from jobs where id in (
        select id from jobs
        where status in ('completed', 'failed') and finished_at < now() - make_interval(days => :days)
        limit :most)
    returning 1)
select count(*) from gone;
