-- A cost row keeps the number of its call when the call's record is deleted, so that an answer that comes later still
-- says what the call cost. Nothing else of the call is needed for that.
alter table cost_entries drop constraint cost_entries_run_id_fkey;

-- Jobs that were deleted with their media items and may have left something outside Postgres: in Redis and in S3.
-- Until `ends_at` a worker or the provider may still add to it.
create table erasures (
    job_id    text primary key,
    type      text not null,
    erased_at timestamptz not null default now(),
    due_at    timestamptz not null,
    ends_at   timestamptz not null
);
create index on erasures (due_at);

-- What admins ask for: everybody's costs of a time, the newest first.
create index on cost_entries (created_at, id);
