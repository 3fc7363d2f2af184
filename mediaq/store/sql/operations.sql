-- name: begin_run^
-- Guarantees: a call is on record before it is made, as possibly billed where it may be billed, and only by
-- the newest owner of the job: returns no row to any other. A call with a token keeps its one row.
with owner as (
    select * from jobs where id = :job_id and fence = :fence and status = 'active' for key share
), run as (
    insert into operation_runs (job_id, operation, attempt, fence, token)
    select id, :operation, attempts, fence, :token from owner
    on conflict (token) do update set attempt = excluded.attempt, fence = excluded.fence
    returning id, xmax <> 0 as adopted
), cost as (
    insert into cost_entries (run_id, user_id, cost_center, media_item_id, job_id, service, operation, item,
                              units, unit, unit_price, price_version, amount, certainty)
    select run.id, owner.user_id, owner.cost_center, owner.media_item_id, owner.id, :service, :operation, :item,
           :units, :unit, :unit_price, :price_version, :amount, 'possibly_billed'
    from run, owner
    where :item::text is not null
    on conflict (run_id) do nothing
)
select id, adopted from run;

-- name: lock_job$
-- Guarantees: answers of one job are recorded one after the other.
select id from jobs where id = :job_id for no key update;

-- name: settle_run$
-- Guarantees: one result an operation: an answer that comes second is kept on its own run as late.
update operation_runs
set state = case when exists (select 1 from operation_runs other
                              where other.job_id = :job_id and other.operation = operation_runs.operation
                                and other.state = 'succeeded' and other.id <> operation_runs.id)
                 then 'late' else 'succeeded' end,
    result = :result,
    finished_at = now()
where id = :id
returning state;

-- name: settle_cost!
-- Guarantees: the call's one cost row says what its answer says.
insert into cost_entries (run_id, user_id, cost_center, media_item_id, job_id, service, operation, item,
                          units, unit, unit_price, price_version, amount, certainty)
select :run_id, user_id, cost_center, media_item_id, id, :service, :operation, :item,
       :units, :unit, :unit_price, :price_version, :amount, :certainty
from jobs where id = :job_id
on conflict (run_id) do update
set item = excluded.item, units = excluded.units, unit = excluded.unit, unit_price = excluded.unit_price,
    price_version = excluded.price_version, amount = excluded.amount, certainty = excluded.certainty;

-- name: put_vector!
-- Guarantees: one vector per media item, model and length: the newest.
insert into embeddings (media_item_id, model, dimensions, vector, metadata)
select media_item_id, :model, :dimensions, :vector, :metadata from jobs where id = :job_id
on conflict (media_item_id, model, dimensions) do update
set vector = excluded.vector, metadata = excluded.metadata, created_at = now();

-- name: set_provider_id!
update operation_runs set provider_id = :provider_id where id = :id;

-- name: fail_run!
-- Guarantees: a call that was answered by an error is not in the ledger, and its token starts a new record; one
-- whose answer was lost, or that started what the provider has not reported as over, stays as possibly billed.
-- A run that another worker has adopted, or that has its answer on record, is left alone.
with run as (
    update operation_runs
    set state = case when :state = 'failed' and provider_id is not null then 'unanswered' else :state end,
        error = :error,
        finished_at = now(),
        token = case when :state = 'failed' and provider_id is null then null else token end
    where id = :id and fence = :fence and state not in ('succeeded', 'late')
    returning *)
delete from cost_entries
where certainty = 'possibly_billed'
  and run_id in (select id from run
                 where state <> 'unanswered' and (:over or (provider_id is null and not :adopted)));

-- name: known_outcomes
-- Guarantees: what is on record for good: a result, or else that the provider will never accept the call.
select distinct on (operation) operation, result, error from operation_runs
where job_id = :job_id and state in ('succeeded', 'refused')
order by operation, state <> 'succeeded', id;

-- name: count_failed_provider_jobs$
-- Guarantees: counts what the provider itself reported as failed, and no call that may still be running there.
select count(*) from operation_runs
where job_id = :job_id and operation = :operation and state in ('job_failed', 'refused');

-- name: job_costs
select operation, service, item, units, unit, unit_price, price_version, amount, certainty
from cost_entries where job_id = :job_id order by id;

-- name: cost_summary
select service, operation, certainty, count(*) as calls, sum(units) as units, unit, sum(amount) as amount
from cost_entries
where (:user_id::text is null or user_id = :user_id)
group by service, operation, certainty, unit
order by service, operation, certainty;
