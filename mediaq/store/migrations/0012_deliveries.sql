-- Where a job's end is told; null: nowhere, or a job of the version before this one.
alter table jobs add column webhook text;

-- Ends of jobs that are told, each with what is told of it, whatever becomes of the job later. A row goes with its
-- job. `due_at` is when it is looked at next: by whoever comes first, or, where somebody tells it, after their time.
create table deliveries (
    id              text primary key default 'msg_' || replace(gen_random_uuid()::text, '-', ''),
    job_id          text not null references jobs (id) on delete cascade,
    url             text not null,
    receiver        text not null generated always as (lower(substring(url from '^[^:]+://([^/?#]+)'))) stored,
    status          text not null check (status in ('completed', 'failed')),
    result          json,
    result_left_out boolean not null,
    failed_reason   text,
    attempts_made   integer not null,
    cost            numeric not null,
    finished_at     timestamptz not null,
    state           text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
    attempts        integer not null default 0,
    error           text,
    due_at          timestamptz not null default now()
);
create index deliveries_due on deliveries (receiver, due_at) where state = 'pending';
create index deliveries_of_job on deliveries (job_id, finished_at);

-- In the transaction that closes a job, whoever does, whatever its settings, also a process of the version before this
-- one. Results of more than 64 KiB are left out: who is told of them reads them where the job is shown. (Standard
-- Webhooks 1.0, payload size, advises to keep payloads small.)
create function tell_of_end() returns trigger language plpgsql as $$
declare
    is_large constant boolean := coalesce(octet_length(new.result::text) > 65536, false);
begin
    insert into deliveries (job_id, url, status, result, result_left_out, failed_reason, attempts_made, cost, finished_at)
    select new.id, new.webhook, new.status, case when not is_large then new.result end, is_large, new.failed_reason,
           new.attempts, coalesce(sum(amount), 0), coalesce(new.finished_at, now())
    from cost_entries where job_id = new.id and certainty <> 'possibly_billed';
    return null;
end $$;

create trigger tell_of_end after update of status on jobs for each row
when (new.webhook is not null and old.status in ('waiting', 'active', 'delayed')
      and new.status in ('completed', 'failed')) execute function tell_of_end();
