-- Open jobs are read in the order in which they were accepted. The column `reconciled_at`, without its index, is for
-- processes of the version before this one.
create index jobs_open on jobs (accepted_at, id) where status in ('waiting', 'active', 'delayed');
drop index jobs_expr_reconciled_at_idx;

-- The push, by the time that stands with it in Redis, whose worker's death before the start was counted last.
alter table jobs add column died_of_push text not null default '';
