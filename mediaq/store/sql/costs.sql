-- name: list_cost_entries
-- Guarantees: every row that stands for a call, each with all that the provider knows the call by.
select cost.id, cost.job_id, cost.operation, cost.item, cost.units, cost.amount, cost.certainty,
       cost.request_id, run.provider_id, run.token
from cost_entries cost left join operation_runs run on run.id = cost.run_id
where cost.certainty <> 'reused'
order by cost.id;

-- name: job_costs
select operation, service, item, units, unit, unit_price, price_version, amount, certainty
from cost_entries where job_id = :job_id order by id;

-- name: cost_summary
select service, operation, certainty, count(*) as calls, sum(units) as units, unit, sum(amount) as amount
from cost_entries
where (:user_id::text is null or user_id = :user_id)
group by service, operation, certainty, unit
order by service, operation, certainty;
