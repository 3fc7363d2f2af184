-- name: job_by_id^
select * from jobs where id = :id;

-- name: list_jobs
select * from jobs
where (:user_id::text is null or user_id = :user_id) and (:status::text is null or status = :status)
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
