-- How often a closed job was opened again. A push bears it, so that what Redis keeps of an earlier end is told from
-- what has become of the job since. Processes of the version before this one push no job that was opened again but
-- one that Redis has lost, without the number: it counts as of an earlier opening, and is at worst pushed once more.
alter table jobs add column opening integer not null default 0;

-- Jobs are listed newest first: all, a user's, a media item's, a cost centre's; those of a type or status are told
-- within the index. Failed ones are few among many, and so are open ones, which have an index already (`jobs_open`).
create index jobs_all on jobs (accepted_at, id, type, status);
create index jobs_of_user on jobs (user_id, accepted_at, id, type, status);
create index jobs_of_media_item on jobs (media_item_id, accepted_at, id);
create index jobs_of_cost_center on jobs (cost_center, accepted_at, id) where cost_center is not null;
create index jobs_failed on jobs (accepted_at, id, user_id, type) where status = 'failed';
-- Those before them, which they begin like.
drop index jobs_user_id_accepted_at_idx;
drop index jobs_media_item_id_idx;
