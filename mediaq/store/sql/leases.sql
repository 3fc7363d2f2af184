-- name: hold_lease$
-- Guarantees: at most one owner at a time; the holder renews it by asking again.
insert into leases (name, owner, held_until) values (:name, :owner, now() + make_interval(secs => :seconds))
on conflict (name) do update set owner = excluded.owner, held_until = excluded.held_until
where leases.owner = excluded.owner or leases.held_until < now()
returning owner;

-- name: drop_lease!
-- Guarantees: only its holder gives a lease up.
delete from leases where name = :name and owner = :owner;
