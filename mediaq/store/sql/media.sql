-- name: lock_media_items!
-- Guarantees: those who derive items' statuses from their jobs do so one after the other, and in no circle.
select id from media_items where id = any(:ids::text[]) order by id for no key update;

-- name: lock_media_items_of!
-- Guarantees: as of lock_media_items, for the items of some jobs.
select id from media_items
where id in (select media_item_id from jobs where id = any(:ids::text[]))
order by id for no key update;

-- name: derive_media_statuses!
-- Guarantees: an item's status is that of its jobs: processing while one runs, pending while one is open,
-- else how the last one ended.
update media_items
set processing_status = coalesce(
        (select case when bool_or(status = 'active') then 'processing' when count(*) > 0 then 'pending' end
         from jobs where media_item_id = media_items.id and status in ('waiting', 'active', 'delayed')),
        (select status from jobs where media_item_id = media_items.id order by finished_at desc nulls last limit 1),
        'pending'),
    updated_at = now()
where id = any(:ids::text[]);

-- name: add_media_results!
-- Guarantees: a job's results join those of earlier jobs; the cost is that of all calls for this item that are
-- known to be billed, and not of one of the same id that was deleted before.
update media_items
set metadata = media_items.metadata || given.metadata || jsonb_build_object(
        'processingCost', (select coalesce(sum(amount), 0) from cost_entries
                           where media_item_id = media_items.id and user_id = media_items.user_id
                             and created_at >= media_items.created_at and certainty <> 'possibly_billed'),
        'processedAt', to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')),
    updated_at = now()
from json_to_recordset(:rows) as given (media_item_id text, metadata jsonb)
where media_items.id = given.media_item_id;

-- name: media_item_by_id^
-- Guarantees: an item as it is at this moment; no row where there is none.
select id, user_id, processing_status, metadata, created_at, updated_at from media_items where id = :id;

-- name: newest_jobs_of
-- Guarantees: an item's jobs in the order of their acceptance, the newest first.
select id, type, status from jobs where media_item_id = :id order by accepted_at desc, id desc limit :most;

-- name: embeddings_of
-- Guarantees: counts the chunks that belong to each vector, and none that an older one left behind.
select model, dimensions, created_at,
       (select count(*) from embedding_chunks chunks
        where (chunks.media_item_id, chunks.model, chunks.dimensions, chunks.created_at)
            = (embeddings.media_item_id, embeddings.model, embeddings.dimensions, embeddings.created_at)) as chunks
from embeddings where media_item_id = :id
order by created_at desc, model, dimensions;

-- name: item_costs^
-- Guarantees: sums what an item has cost, and not one of the same id that was deleted before it was made.
select coalesce(sum(amount) filter (where certainty <> 'possibly_billed'), 0) as billed,
       coalesce(sum(amount) filter (where certainty = 'possibly_billed'), 0) as possibly_billed
from cost_entries
where media_item_id = :id and user_id = :user_id and created_at >= :created_at;
