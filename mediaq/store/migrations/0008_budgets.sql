-- What a job costs at most, and what its user's and its cost center's jobs might cost in the month when it was accepted;
-- null: no limit, or a job of the version before this one.
alter table jobs add column estimate numeric check (estimate >= 0);
alter table jobs add column user_cap numeric check (user_cap > 0);
alter table jobs add column cost_center_cap numeric check (cost_center_cap > 0);
create index jobs_open_of_user on jobs (user_id) where status in ('waiting', 'active', 'delayed');
create index cost_entries_of_cost_center on cost_entries (cost_center, created_at) where cost_center is not null;

-- The budgets that are counted: those under a cap, from the first job on that was accepted under it. Where there are none,
-- nothing is counted. What open jobs have reserved, and what was spent (billed or possibly billed) by month (UTC).
create table budgets (
    kind     text not null check (kind in ('user', 'cost_center')),
    name     text not null,
    reserved numeric not null,
    primary key (kind, name)
);
create table budget_months (
    kind  text not null,
    name  text not null,
    month date not null,
    spent numeric not null,
    primary key (kind, name, month)
);

-- What has changed since. Whoever writes costs or moves jobs on adds rows and waits for nobody; whoever checks a budget
-- locks it and adds them up, and so does upkeep.
create table budget_changes (
    kind     text not null,
    name     text not null,
    month    date not null,
    spent    numeric not null,
    reserved numeric not null
);
create index on budget_changes (kind, name);

-- What each open job of a counted budget may still cost: its estimate less what its calls have cost.
create table reservations (
    job_id      text primary key,
    user_id     text not null,
    cost_center text,
    estimate    numeric not null,
    spent       numeric not null default 0,
    remains     numeric generated always as (greatest(estimate - spent, 0)) stored
);

-- All of it follows from the rows of jobs and costs by triggers, so that no process has to think of it, whatever its
-- settings, and none of the version before this one. Each first takes the lock that keeps a budget from being counted
-- from now on while a transaction is at work that has not counted for it (see `await_uncounted`).

create function add_budget_change(of_user text, of_cost_center text, at timestamptz, more_spent numeric, more_reserved numeric)
returns void language sql as $$
    insert into budget_changes (kind, name, month, spent, reserved)
    select kind, name, date_trunc('month', at at time zone 'utc'), more_spent, more_reserved
    from budgets where (kind, name) in (('user', of_user), ('cost_center', of_cost_center));
$$;

create function count_cost() returns trigger language plpgsql as $$
begin
    lock table budget_changes in row exclusive mode;
    if not exists (select from budgets) then
        return null;
    end if;
    if tg_op <> 'INSERT' then
        perform add_budget_change(old.user_id, old.cost_center, old.created_at, -old.amount, 0);
    end if;
    if tg_op <> 'DELETE' then
        perform add_budget_change(new.user_id, new.cost_center, new.created_at, new.amount, 0);
    end if;
    update reservations set spent = spent + coalesce(new.amount, 0) - coalesce(old.amount, 0)
    where job_id = coalesce(new.job_id, old.job_id);
    return null;
end $$;

create function reserve_for_job() returns trigger language plpgsql as $$
begin
    lock table budget_changes in row exclusive mode;
    if new.status in ('waiting', 'active', 'delayed') then
        insert into reservations (job_id, user_id, cost_center, estimate)
        select new.id, new.user_id, new.cost_center, coalesce(new.estimate, 0)
        where exists (select from budgets where (kind, name) in (('user', new.user_id), ('cost_center', new.cost_center)))
        on conflict (job_id) do update set estimate = excluded.estimate;
    else
        delete from reservations where job_id = old.id;
    end if;
    return null;
end $$;

create function count_reservation() returns trigger language plpgsql as $$
begin
    perform add_budget_change(coalesce(new.user_id, old.user_id), coalesce(new.cost_center, old.cost_center), now(), 0,
                              coalesce(new.remains, 0) - coalesce(old.remains, 0));
    return null;
end $$;

create trigger count_new_cost after insert on cost_entries for each row
when (new.amount <> 0) execute function count_cost();
create trigger count_changed_cost after update on cost_entries for each row
when (old.amount <> new.amount or old.created_at <> new.created_at) execute function count_cost();
create trigger count_deleted_cost after delete on cost_entries for each row
when (old.amount <> 0) execute function count_cost();

create trigger reserve_for_new_job after insert on jobs for each row
when (new.status in ('waiting', 'active', 'delayed')) execute function reserve_for_job();
create trigger reserve_for_moved_job after update of status, estimate on jobs for each row
when ((old.status in ('waiting', 'active', 'delayed')) <> (new.status in ('waiting', 'active', 'delayed'))
      or old.estimate is distinct from new.estimate) execute function reserve_for_job();
create trigger reserve_for_deleted_job after delete on jobs for each row
when (old.status in ('waiting', 'active', 'delayed')) execute function reserve_for_job();

create trigger count_new_reservation after insert on reservations for each row
when (new.remains <> 0) execute function count_reservation();
create trigger count_changed_reservation after update on reservations for each row
when (old.remains <> new.remains) execute function count_reservation();
create trigger count_deleted_reservation after delete on reservations for each row
when (old.remains <> 0) execute function count_reservation();
