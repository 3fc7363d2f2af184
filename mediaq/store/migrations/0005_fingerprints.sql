-- What a call asked about which content on whose behalf, as a digest, by which the same call is found again. A result
-- that was copied from an earlier run bears none: it is no source of further copies.
alter table operation_runs add column fingerprint text;
create index operation_runs_fingerprint on operation_runs (fingerprint) where fingerprint is not null;
