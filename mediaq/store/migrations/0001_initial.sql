create extension if not exists vector;

create table media_items (
    id                text primary key,
    user_id           text not null,
    processing_status text not null default 'pending'
                      check (processing_status in ('pending', 'processing', 'completed', 'failed')),
    metadata          jsonb not null default '{}',
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now()
);
create index on media_items (user_id);

-- What is only read back whole is json, which keeps the order of names; metadata is merged, and so jsonb.
create table jobs (
    id              text primary key check (id ~ '^[A-Za-z0-9_-]+$'),
    type            text not null,
    user_id         text not null,
    cost_center     text,
    media_item_id   text not null references media_items (id) on delete cascade,
    request         json not null,
    status          text not null default 'waiting'
                    check (status in ('waiting', 'active', 'delayed', 'completed', 'failed')),
    progress        json not null,
    attempts        integer not null default 0,
    max_attempts    integer not null,
    deaths          integer not null default 0,
    fence           bigint not null default 0,
    lease_owner     text,
    lease_until     timestamptz,
    result          json,
    failed_reason   text,
    stacktrace      text[] not null default '{}',
    idempotency_key text,
    digest          text,
    accepted_at     timestamptz not null default now(),
    due_at          timestamptz,
    processed_at    timestamptz,
    finished_at     timestamptz,
    reconciled_at   timestamptz
);
create index on jobs (user_id, accepted_at desc);
create index on jobs (media_item_id);
create index on jobs ((status <> 'active'), reconciled_at nulls first) where status in ('waiting', 'active', 'delayed');
create unique index jobs_idempotency_key on jobs (user_id, idempotency_key) where idempotency_key is not null;

-- One row a call. A call that carries a token of its own (an asynchronous AWS job) keeps its row when it is
-- adopted by a later attempt.
create table operation_runs (
    id          bigint generated always as identity primary key,
    job_id      text not null references jobs (id) on delete cascade,
    operation   text not null,
    attempt     integer not null,
    fence       bigint not null,
    state       text not null default 'started'
                check (state in ('started', 'succeeded', 'late', 'failed', 'job_failed', 'refused', 'unanswered')),
    token       text unique,
    provider_id text,
    result      json,
    error       text,
    started_at  timestamptz not null default now(),
    finished_at timestamptz
);
create index on operation_runs (job_id, operation);
create unique index operation_runs_one_result on operation_runs (job_id, operation) where state = 'succeeded';

-- Cost rows outlive the job and the media item they were for: they name both and refer to neither.
create table cost_entries (
    id            bigint generated always as identity primary key,
    run_id        bigint unique references operation_runs (id) on delete set null,
    user_id       text not null,
    cost_center   text,
    media_item_id text not null,
    job_id        text not null,
    service       text not null,
    operation     text not null,
    item          text not null,
    units         numeric not null check (units >= 0),
    unit          text not null,
    unit_price    numeric not null check (unit_price >= 0),
    price_version text not null,
    amount        numeric not null check (amount >= 0),
    certainty     text not null check (certainty in ('billed', 'possibly_billed', 'reused')),
    created_at    timestamptz not null default now()
);
create index on cost_entries (user_id, created_at);
create index on cost_entries (job_id);
create index on cost_entries (media_item_id);

create table embeddings (
    media_item_id text not null references media_items (id) on delete cascade,
    model         text not null,
    dimensions    integer not null,
    vector        vector not null,
    metadata      jsonb not null default '{}',
    created_at    timestamptz not null default now(),
    primary key (media_item_id, model, dimensions),
    check (vector_dims(vector) = dimensions)
);
-- An HNSW index needs one length for all its vectors: one index for each length that a model makes.
create index on embeddings using hnsw ((vector::vector(256)) vector_cosine_ops) where dimensions = 256;
create index on embeddings using hnsw ((vector::vector(384)) vector_cosine_ops) where dimensions = 384;
create index on embeddings using hnsw ((vector::vector(512)) vector_cosine_ops) where dimensions = 512;
create index on embeddings using hnsw ((vector::vector(1024)) vector_cosine_ops) where dimensions = 1024;
create index on embeddings using hnsw ((vector::vector(1536)) vector_cosine_ops) where dimensions = 1536;

-- Who does a task that one process at a time does.
create table leases (
    name       text primary key,
    owner      text not null,
    held_until timestamptz not null
);
