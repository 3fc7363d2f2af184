-- name: media_owner$
-- Guarantees: whose an item is at this moment; no row where there is none.
select user_id from media_items where id = :id;

-- name: newest_vector^
-- Guarantees: of an item's vectors, of one model or of all, the newest.
select model, dimensions from embeddings
where media_item_id = :id and (:model::text is null or model = :model)
order by created_at desc, model, dimensions
limit 1;

-- name: scan_on!
-- Guarantees: within its transaction, a search in an index goes on until it has found as many of those that the
-- other conditions leave as were asked for, or has seen `hnsw.max_scan_tuples`.
select set_config('hnsw.iterative_scan', 'relaxed_order', true);
