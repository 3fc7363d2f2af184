-- Those who wait for ends of jobs that nobody told them of look among the jobs that were closed last: of all users,
-- and of one from some time on.
create index jobs_closed on jobs (finished_at, id) where status in ('completed', 'failed');
create index jobs_closed_of_user on jobs (user_id, finished_at, id) where status in ('completed', 'failed');
