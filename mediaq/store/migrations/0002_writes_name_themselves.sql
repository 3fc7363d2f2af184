-- A call has a key of its own, so that writing it down twice is writing it down once; and a deadline, by which it
-- is answered or never will be.
alter table operation_runs add column key text unique;
alter table operation_runs add column deadline timestamptz;

-- The provider's own id of the answer that a call was billed with, by which its bill can be compared.
alter table cost_entries add column request_id text;

-- What tiers of the price list go by: billed units of an item in a month (UTC), of all users.
create table monthly_usage (
    item  text not null,
    month date not null,
    units numeric not null,
    primary key (item, month)
);
insert into monthly_usage (item, month, units)
select item, date_trunc('month', created_at at time zone 'utc'), sum(units)
from cost_entries where certainty = 'billed' group by 1, 2;
