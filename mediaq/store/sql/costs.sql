-- name: list_cost_entries
-- Guarantees: every row that stands for a call, each with all that the provider knows the call by.
select cost.id, cost.job_id, cost.operation, cost.item, cost.units, cost.amount, cost.certainty,
       cost.request_id, run.provider_id, run.token
from cost_entries cost left join operation_runs run on run.id = cost.run_id
where cost.certainty <> 'reused'
order by cost.id;

-- name: job_costs
-- Guarantees: every cost row of a job, in the order in which its calls were begun.
select operation, service, item, units, unit, unit_price, price_version, amount, certainty
from cost_entries where job_id = :job_id order by id;

-- name: cost_summary
-- Guarantees: exact sums, those of certain and of possible costs apart.
select service, operation, certainty, count(*) as calls, sum(units) as units, unit, sum(amount) as amount
from cost_entries
where (:user_id::text is null or user_id = :user_id)
group by service, operation, certainty, unit
order by service, operation, certainty;

-- name: recent_costs
-- Guarantees: the sums of the calls that were begun within the last so many seconds, in the time that reading those
-- rows takes, however long the ledger is. Ids grow with the time of the begin: a search by halves finds the first.
with recursive search (low, high) as (
    select coalesce(min(id), 0), coalesce(max(id), -1) + 1 from cost_entries
    union all
    select case when found.recent then low else middle + 1 end, case when found.recent then middle else high end
    from search,
         lateral (select (low + high) / 2 as middle) half,
         lateral (select created_at >= now() - make_interval(secs => :seconds) as recent
                  from cost_entries where id >= middle order by id limit 1) found
    where low < high
)
select service, operation, certainty, count(*) as calls, sum(amount) as amount
from cost_entries
where id >= (select max(low) from search)
group by service, operation, certainty;
