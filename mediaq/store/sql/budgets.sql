-- Budgets are counted by triggers on jobs and costs (see the migration). Who checks one locks it last of all, in one
-- order, and so waits for nobody else: those who only add to it lock nothing.

-- name: uncounted_budgets
-- Guarantees: finds those of the budgets that are not counted yet.
select kind, name from unnest(:kinds::text[], :names::text[]) as asked (kind, name)
where (kind, name) not in (select kind, name from budgets);

-- name: await_uncounted!
-- Guarantees: every transaction that wrote jobs or costs without counting them is over, and what others write until
-- this one ends is counted after it.
lock table budget_changes in share row exclusive mode;

-- name: reserve_for_open_jobs!
-- Guarantees: after `await_uncounted`, every open job of a budget has a reservation.
insert into reservations (job_id, user_id, cost_center, estimate, spent)
select id, user_id, cost_center, coalesce(estimate, 0),
       (select coalesce(sum(amount), 0) from cost_entries where job_id = jobs.id)
from jobs
where status in ('waiting', 'active', 'delayed')
  and case :kind when 'user' then user_id else cost_center end = :name
on conflict (job_id) do nothing;

-- name: begin_budget!
-- Guarantees: after `reserve_for_open_jobs`, a budget counts from what is on record, for this month (UTC) and what
-- follows it; one that is counted is left alone.
with begun as (
    insert into budgets (kind, name, reserved)
    select :kind, :name, coalesce(sum(remains), 0) from reservations
    where case :kind when 'user' then user_id else cost_center end = :name
    on conflict (kind, name) do nothing
    returning kind, name
)
insert into budget_months (kind, name, month, spent)
select kind, name, date_trunc('month', now() at time zone 'utc'), spent
from begun cross join (
    select sum(amount) as spent from cost_entries
    where case :kind when 'user' then user_id else cost_center end = :name
      and created_at >= date_trunc('month', now() at time zone 'utc') at time zone 'utc') as ledger
where spent is not null;

-- name: lock_budgets!
-- Guarantees: those who check the same budgets do so one after the other, and in no circle.
select kind, name from budgets join unnest(:kinds::text[], :names::text[]) as asked (kind, name) using (kind, name)
order by kind, name for no key update of budgets;

-- name: are_budgets_changed$
-- Guarantees: whether there is anything to add up, without waiting for anybody.
select exists (select from budget_changes);

-- name: lock_changed_budgets
-- Guarantees: finds some budgets that have changes to be added up, which nobody else is at work on.
select kind, name from budgets
where exists (select from budget_changes changes where changes.kind = budgets.kind and changes.name = budgets.name)
order by kind, name limit :most for no key update skip locked;

-- name: add_up_budgets
-- Guarantees: in a transaction that has locked them, returns what is reserved, and what was spent in this month (UTC),
-- with every change that was committed before; each counts once.
with asked as (
    select * from unnest(:kinds::text[], :names::text[]) as asked (kind, name)
), gone as (
    delete from budget_changes using asked
    where budget_changes.kind = asked.kind and budget_changes.name = asked.name
    returning budget_changes.kind, budget_changes.name, month, spent, budget_changes.reserved
), held as (
    update budgets
    set reserved = budgets.reserved + coalesce(
        (select sum(gone.reserved) from gone where gone.kind = budgets.kind and gone.name = budgets.name), 0)
    from asked where budgets.kind = asked.kind and budgets.name = asked.name
    returning budgets.kind, budgets.name, budgets.reserved
), added as (
    insert into budget_months (kind, name, month, spent)
    select kind, name, month, sum(spent) from gone group by kind, name, month having sum(spent) <> 0
    on conflict (kind, name, month) do update set spent = budget_months.spent + excluded.spent
    returning kind, name, month, spent
), this as (
    select date_trunc('month', now() at time zone 'utc')::date as month
)
select held.kind, held.name, this.month, held.reserved, coalesce(added.spent, earlier.spent, 0) as spent
from held cross join this
left join added on (added.kind, added.name, added.month) = (held.kind, held.name, this.month)
left join budget_months earlier on (earlier.kind, earlier.name, earlier.month) = (held.kind, held.name, this.month);

-- name: show_budgets
-- Guarantees: all budgets that are counted, as they stand, without locking any.
with this as (
    select date_trunc('month', now() at time zone 'utc')::date as month
), changed as (
    select kind, name, sum(reserved) as reserved, sum(spent) filter (where changes.month = this.month) as spent
    from budget_changes changes cross join this group by kind, name
)
select kind, name, this.month, budgets.reserved + coalesce(changed.reserved, 0) as reserved,
       coalesce(months.spent, 0) + coalesce(changed.spent, 0) as spent
from budgets cross join this
left join budget_months months using (kind, name, month)
left join changed using (kind, name)
order by kind desc, name;

-- name: revise_estimate$
-- Guarantees: only the newest owner says what a job costs at most, and its reservation follows; returns no row to any
-- other.
update jobs set estimate = :estimate
where id = :id and fence = :fence and status = 'active'
returning id;

-- name: what_remains$
-- Guarantees: what an open job of a counted budget may still cost.
select remains from reservations where job_id = :job_id;
