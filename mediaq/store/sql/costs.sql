-- name: list_cost_entries
-- Guarantees: every row that stands for a call, each with all that the provider knows the call by. The request's
-- id is read so that a schema without it serves too.
select cost.id, cost.job_id, cost.operation, cost.item, cost.units, cost.amount, cost.certainty,
       cost.request_id, run.provider_id, run.token
from cost_entries cost left join operation_runs run on run.id = cost.run_id
where cost.certainty <> 'reused'
order by cost.id;
