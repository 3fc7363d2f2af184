-- An operation that takes several calls keeps the answer to each of them: `part` names it within the operation, and
-- is empty where the call is about the whole. These answers have a state of their own, so that processes of the
-- version before this one do not take one for the operation's result.
alter table operation_runs add column part text not null default '';
alter table operation_runs drop constraint operation_runs_state_check;
alter table operation_runs add constraint operation_runs_state_check check (
    state in ('started', 'succeeded', 'part_succeeded', 'late', 'failed', 'job_failed', 'refused', 'unanswered'));
create unique index operation_runs_one_result_a_part on operation_runs (job_id, operation, part)
where state = 'part_succeeded';
