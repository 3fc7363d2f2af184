-- Puts jobs on record in one call, which would otherwise be seven of them. Each statement sees what was committed before
-- it: whoever has waited for another transaction sees what that one has left.
-- Guarantees:
-- * An unknown media item belongs from now on to the first who names it; known ones stay whose they are, and cannot go
--   before the transaction ends. A job about another's item is left out.
-- * An idempotency key is free again a day after the job that used it.
-- * There is one job an id, and one per user and idempotency key: it waits for a transaction that is inserting one of the
--   same, and leaves a job out where either is taken.
-- * The items show that jobs of theirs are open.
-- * Locks are taken kind by kind, and each kind in one order (items by id, jobs in the order given), so that none waits
--   for another in a circle.
-- Takes the jobs, and of them, in their order, users, items and keys (null where there is none); and how long it waits for
-- a lock, as lock_timeout has it, which holds for the rest of the transaction as well. Returns those that it has inserted.
create function accept_jobs(given json, users text[], items text[], keys text[], patience text)
returns setof jobs language plpgsql as $$
declare
    locked bigint;
begin
    perform set_config('lock_timeout', patience, true);
    loop
        insert into media_items (id, user_id)
        select distinct on (item) item, owner
        from unnest(items, users) with ordinality as asked (item, owner, n) order by item, n
        on conflict (id) do nothing;
        -- One that was there for the insert may be deleted by the time that it is locked.
        perform from media_items where id = any(items) order by id for key share;
        get diagnostics locked = row_count;
        exit when locked = (select count(distinct item) from unnest(items) as item);
    end loop;

    if array_remove(keys, null) <> '{}' then
        update jobs set idempotency_key = null
        where id in (
            select id from jobs join unnest(users, keys) as asked (owner, key) on user_id = owner and idempotency_key = key
            where accepted_at < now() - interval '24 hours'
            order by id for no key update of jobs);
    end if;

    return query
    insert into jobs (id, type, user_id, cost_center, media_item_id, request, progress, max_attempts, idempotency_key,
                      digest, estimate, user_cap, cost_center_cap, webhook)
    select asked.id, type, asked.user_id, cost_center, media_item_id, request, progress, max_attempts, idempotency_key,
           digest, estimate, user_cap, cost_center_cap, webhook
    from json_to_recordset(given) as asked (
        n int, id text, type text, user_id text, cost_center text, media_item_id text, request json, progress json,
        max_attempts int, idempotency_key text, digest text, estimate numeric, user_cap numeric, cost_center_cap numeric,
        webhook text)
    join media_items on media_items.id = media_item_id and media_items.user_id = asked.user_id
    order by n
    on conflict do nothing
    returning jobs.*;

    -- Items that this transaction has made show it already. The others are locked before it is looked what they have.
    items := array(select distinct media_item_id from jobs join media_items on media_items.id = media_item_id
                   where media_item_id = any(items) and accepted_at = now() and created_at <> now());
    if items <> '{}' then
        perform from media_items where id = any(items) order by id for no key update;
        update media_items
        set processing_status = case when exists (select from jobs where media_item_id = media_items.id and status = 'active')
                                     then 'processing' else 'pending' end,
            updated_at = now()
        where id = any(items);
    end if;
end $$;
