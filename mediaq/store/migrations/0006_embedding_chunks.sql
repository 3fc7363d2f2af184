-- The vectors of an item's passages or pictures, whose mean is the item's own in `embeddings`. A table of their own, as
-- processes of the version before this one know of one vector an item, model and length. Where such a process replaces
-- an item's vector, its chunks stay behind: those that belong to it are the ones of its own `created_at`.
create table embedding_chunks (
    media_item_id text not null,
    model         text not null,
    dimensions    integer not null,
    chunk         integer not null check (chunk >= 0),
    vector        vector not null,
    metadata      jsonb not null default '{}',
    created_at    timestamptz not null default now(),
    primary key (media_item_id, model, dimensions, chunk),
    foreign key (media_item_id, model, dimensions) references embeddings on delete cascade,
    check (vector_dims(vector) = dimensions)
);
