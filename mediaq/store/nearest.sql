-- An HNSW index is of one length, and is found only where the length stands in the text: LENGTH is replaced by it.

-- name: nearest
-- Guarantees: the nearest of all items by cosine, the nearest first.
with near as materialized (
    select media_item_id, metadata, vector::vector(LENGTH) <=> (
        select vector::vector(LENGTH) from embeddings asked
        where asked.media_item_id = :id and asked.model = :model and asked.dimensions = LENGTH) as distance
    from embeddings
    where dimensions = LENGTH and model = :model and media_item_id <> :id
    order by distance
    limit :most)
select media_item_id, metadata, 1 - distance as similarity from near order by distance, media_item_id;

-- name: nearest_of_user
-- Guarantees: the nearest of one user's items by cosine, the nearest first. Of a user with few items all are
-- compared; else the index is searched.
with near as materialized (
    select embeddings.media_item_id, embeddings.metadata, embeddings.vector::vector(LENGTH) <=> (
        select vector::vector(LENGTH) from embeddings asked
        where asked.media_item_id = :id and asked.model = :model and asked.dimensions = LENGTH) as distance
    from embeddings join media_items on media_items.id = embeddings.media_item_id
    where dimensions = LENGTH and model = :model and media_item_id <> :id and user_id = :user_id
    order by distance
    limit :most)
select media_item_id, metadata, 1 - distance as similarity from near order by distance, media_item_id;
