-- What running jobs write comes as rows, many at once; `n` says which row an answer is for. Each may be repeated:
-- it then changes nothing, and answers as before.

-- name: begin_runs
-- Guarantees: a call is on record before it is made, as possibly billed where it may be billed, and only by
-- the newest owner of the job: returns no row to any other. Where the result of the operation, or of the part that
-- the call is about, is on record by now, nothing is begun, and the row has that result. A call with a token keeps
-- its one row; written again it counts as adopted, which leaves more as possibly billed, never less.
with given as (
    select * from json_to_recordset(:rows) as given (
        n int, key text, job_id text, fence bigint, operation text, part text, token text, seconds float8,
        service text, item text, units numeric, unit text, unit_price numeric, price_version text, amount numeric,
        fingerprint text)
), mine as (
    select given.*, jobs.attempts, jobs.user_id, jobs.cost_center, jobs.media_item_id
    from given join jobs on jobs.id = given.job_id and jobs.fence = given.fence and jobs.status = 'active'
), written as (
    select n, runs.id, runs.token from mine join operation_runs runs using (key)
), known as (
    select distinct on (n) n, found.part, found.result
    from mine cross join lateral (
        select part, result from operation_runs
        where job_id = mine.job_id and operation = mine.operation and state = 'succeeded'
        union all
        select part, result from operation_runs
        where job_id = mine.job_id and operation = mine.operation and part = mine.part and state = 'part_succeeded'
    ) found
    where n not in (select n from written)
    order by n, found.part
), run as (
    insert into operation_runs (job_id, operation, part, attempt, fence, token, key, deadline, fingerprint)
    select job_id, operation, part, attempts, fence, token, key, now() + make_interval(secs => seconds), fingerprint
    from mine where n not in (select n from written union all select n from known)
    order by n
    on conflict (token) do update
    set attempt = excluded.attempt, fence = excluded.fence, key = excluded.key, deadline = excluded.deadline
    returning id, key, xmax <> 0 as adopted
), cost as (
    insert into cost_entries (run_id, user_id, cost_center, media_item_id, job_id, service, operation, item,
                              units, unit, unit_price, price_version, amount, certainty)
    select run.id, user_id, cost_center, media_item_id, job_id, service, operation, item,
           units, unit, unit_price, price_version, amount, 'possibly_billed'
    from run join mine using (key)
    where item is not null
    order by n
    on conflict (run_id) do nothing
)
select n, run.id, run.adopted, null as part, null::json as result from run join mine using (key)
union all
select n, id, token is not null, null, null from written
union all
select n, null, null, part, result from known;

-- name: lock_names!
-- Guarantees: of transactions that name the same, in whatever process, one at a time goes on; and in no circle.
select pg_advisory_xact_lock(name)
from (select distinct hashtextextended(name, 0) as name from unnest(:names::text[]) as name order by 1) as ordered;

-- name: earlier_runs
-- Guarantees: of each call that is not on record itself, finds what makes it needless or too early: what the same
-- call has come to within the last `age` seconds; else that it is under way, and for how long at most.
select n, earlier.*
from json_to_recordset(:rows) as given (n int, key text, fingerprint text, age float8)
cross join lateral (
    select state, result, extract(epoch from deadline - now())::float8 as seconds
    from operation_runs
    where operation_runs.fingerprint = given.fingerprint
      and (state in ('succeeded', 'part_succeeded') and finished_at > now() - make_interval(secs => age)
           or state = 'started' and deadline > now())
    order by state = 'started', id desc
    limit 1) as earlier
where not exists (select 1 from operation_runs written where written.key = given.key);

-- name: settle_runs
-- Guarantees: one result an operation, and one a part of it: an answer that comes second is kept on its own run as
-- late.
update operation_runs
set state = case when exists (select 1 from operation_runs other
                              where other.job_id = operation_runs.job_id
                                and other.operation = operation_runs.operation
                                and other.part = operation_runs.part
                                and other.state in ('succeeded', 'part_succeeded')
                                and other.id <> operation_runs.id)
                 then 'late'
                 when part = '' then 'succeeded' else 'part_succeeded' end,
    result = given.result,
    finished_at = now()
from json_to_recordset(:rows) as given (n int, run_id bigint, result json)
where id = run_id
returning n, state;

-- name: add_usage
-- Guarantees: a call's units count once for the month in which it was made; returns, of each call that counts
-- now, how many were billed before it.
with fresh as (
    select n, given.item, given.units, date_trunc('month', coalesce(started_at, created_at) at time zone 'utc')::date as month
    from json_to_recordset(:rows) as given (n int, run_id bigint, item text, units numeric)
    left join operation_runs on operation_runs.id = given.run_id
    left join cost_entries on cost_entries.run_id = given.run_id
    where certainty is distinct from 'billed' and coalesce(started_at, created_at) is not null
), counted as (
    insert into monthly_usage (item, month, units)
    select item, month, sum(units) from fresh group by item, month order by item, month
    on conflict (item, month) do update set units = monthly_usage.units + excluded.units
    returning item, month, units
)
select n, counted.units - sum(fresh.units) over (
              partition by item, month order by n rows between current row and unbounded following) as before
from fresh join counted using (item, month);

-- name: settle_costs!
-- Guarantees: a call's one cost row says what its answer says, and from then on the same for good; also where the
-- job was deleted meanwhile, and with it what was on record of the call.
with given as (
    select * from json_to_recordset(:rows) as given (
        n int, run_id bigint, job_id text, service text, operation text, item text, units numeric, unit text,
        unit_price numeric, price_version text, amount numeric, certainty text, request_id text)
), settled as (
    update cost_entries
    set item = given.item, units = given.units, unit = given.unit, unit_price = given.unit_price,
        price_version = given.price_version, amount = given.amount, certainty = given.certainty,
        request_id = given.request_id
    from given
    where cost_entries.run_id = given.run_id and cost_entries.certainty = 'possibly_billed'
)
insert into cost_entries (run_id, user_id, cost_center, media_item_id, job_id, service, operation, item,
                          units, unit, unit_price, price_version, amount, certainty, request_id)
select run_id, user_id, cost_center, media_item_id, jobs.id, service, operation, item,
       units, unit, unit_price, price_version, amount, certainty, request_id
from given join jobs on jobs.id = given.job_id
where not exists (select from cost_entries known where known.run_id = given.run_id)
order by n
on conflict (run_id) do nothing;

-- name: put_vectors!
-- Guarantees: one vector per media item, model and length: the newest, without the chunks of the one before it.
with given as (
    select * from json_to_recordset(:rows) as given (
        media_item_id text, model text, dimensions int, vector vector, metadata jsonb)
), gone as (
    delete from embedding_chunks using given
    where embedding_chunks.media_item_id = given.media_item_id
      and embedding_chunks.model = given.model and embedding_chunks.dimensions = given.dimensions
)
insert into embeddings (media_item_id, model, dimensions, vector, metadata)
select media_item_id, model, dimensions, vector, metadata from given
order by media_item_id, model, dimensions
on conflict (media_item_id, model, dimensions) do update
set vector = excluded.vector, metadata = excluded.metadata, created_at = now();

-- name: put_chunks!
-- Guarantees: the chunks of vectors that were put in the same transaction stand with them.
insert into embedding_chunks (media_item_id, model, dimensions, chunk, vector, metadata)
select media_item_id, model, dimensions, n, vector, metadata
from json_to_recordset(:rows) as given (
    media_item_id text, model text, dimensions int, n int, vector vector, metadata jsonb);

-- name: name_provider_jobs
-- Guarantees: a call whose record is there bears the id; returns no row for one that was deleted.
update operation_runs set provider_id = given.provider_id
from json_to_recordset(:rows) as given (n int, run_id bigint, provider_id text)
where id = run_id
returning n;

-- name: provider_job$
-- Guarantees: the id of the job that the provider runs for a call, where it was put on record.
select provider_id from operation_runs where id = :run_id;

-- name: transcriptions
-- Guarantees: finds a user's transcriptions of an object's versions, the newest first, those that were paid for.
select operation_runs.id, jobs.request, fingerprint
from jobs join operation_runs on operation_runs.job_id = jobs.id
where user_id = :user_id and type = 'video-processing' and request ->> 's3Key' = :key
  and operation = 'transcribe' and state = 'succeeded' and fingerprint is not null
order by operation_runs.id desc
limit :most;

-- name: run_result$
-- Guarantees: the result of a call; no row where its record is gone.
select result from operation_runs where id = :run_id;

-- name: fail_runs
-- Guarantees: a call that was answered by an error is not in the ledger, and its token starts a new record; one
-- whose answer was lost, or that started what the provider has not reported as over, stays as possibly billed.
-- A run that another worker has adopted, or that has its answer on record, is left alone. Where the job was deleted
-- meanwhile, and with it what was on record of the call, its cost row goes if the call was certainly not billed.
with given as (
    select * from json_to_recordset(:rows) as given (
        n int, run_id bigint, fence bigint, state text, error text, over boolean, adopted boolean, named boolean)
), run as (
    update operation_runs
    set state = case when given.state = 'failed' and provider_id is not null then 'unanswered' else given.state end,
        error = given.error,
        finished_at = now(),
        token = case when given.state = 'failed' and provider_id is null then null else token end
    from given
    where id = run_id and operation_runs.fence = given.fence and operation_runs.state not in ('succeeded', 'part_succeeded', 'late')
    returning n, id, operation_runs.state, provider_id, given.over, given.adopted
), gone as (
    delete from cost_entries
    where certainty = 'possibly_billed'
      and run_id in (
          select id from run where state <> 'unanswered' and (over or (provider_id is null and not adopted))
          union all
          select run_id from given
          where state <> 'unanswered' and (over or not named)
            and not exists (select from operation_runs where id = run_id))
)
select n from run;

-- name: seconds_to_answer$
-- Guarantees: while an earlier owner's call may still be answered, says how long at most; a call that carries a
-- token may be repeated at any time, and does not count.
select extract(epoch from max(deadline) - now())::float8 from operation_runs
where job_id = :job_id and operation = :operation and fence < :fence and state = 'started' and token is null;

-- name: known_outcomes
-- Guarantees: what is on record for good: the result of the whole, or else that the provider will never accept a
-- call that it takes.
select distinct on (operation) operation, result, error from operation_runs
where job_id = :job_id and state in ('succeeded', 'refused')
order by operation, state <> 'succeeded', id;

-- name: known_parts
-- Guarantees: of each part of an operation that was answered, the one answer that counts.
select part, result from operation_runs
where job_id = :job_id and operation = :operation and state = 'part_succeeded';

-- name: count_failed_provider_jobs$
-- Guarantees: counts what the provider itself reported as failed, and no call that may still be running there.
select count(*) from operation_runs
where job_id = :job_id and operation = :operation and state in ('job_failed', 'refused');
