-- name: due_receivers
-- Guarantees: finds whoever is to be told something now and of how many ends, as far as `each`; those first that have
-- waited longest. It takes a look at an index for each receiver that is to be told something at all, however much.
with recursive receivers as (
    (select receiver from deliveries where state = 'pending' order by receiver limit 1)
    union all
    select (select receiver from deliveries where state = 'pending' and receiver > last.receiver order by receiver limit 1)
    from receivers last where last.receiver is not null
)
select receiver, waiting from receivers cross join lateral (
    select count(*) as waiting, min(due_at) as since from (
        select due_at from deliveries
        where state = 'pending' and deliveries.receiver = receivers.receiver and due_at <= now()
        order by due_at limit :each) as first) as due
where waiting > 0
order by since;

-- name: claim_delivery^
-- Guarantees: of processes that ask at once each gets another; one that is not ended comes up again after its lease.
update deliveries
set attempts = deliveries.attempts + 1, due_at = now() + make_interval(secs => :lease)
from jobs
where deliveries.id = (select id from deliveries
                       where state = 'pending' and receiver = :receiver and due_at <= now()
                       order by due_at limit 1 for update skip locked)
  and jobs.id = deliveries.job_id
returning deliveries.id, job_id, jobs.type, jobs.media_item_id, url, deliveries.status, deliveries.result,
          result_left_out, deliveries.failed_reason, attempts_made, cost, deliveries.finished_at, deliveries.attempts;

-- name: end_delivery!
-- Guarantees: what was delivered is, whoever says so; else the last one that has tried says what becomes of it.
update deliveries
set state = :state, error = coalesce(:error, error), due_at = now() + make_interval(secs => :wait)
where id = :id and state <> 'delivered' and (attempts = :attempts or :state = 'delivered');

-- name: last_delivery^
select state, attempts, error from deliveries where job_id = :job_id order by finished_at desc, id limit 1;
