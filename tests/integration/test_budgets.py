"""Budgets on record: what is spent and reserved, whoever writes it, and what is accepted under a cap."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import attrs
import pytest
from store_kit import CHARGE, JOB, PATIENCE, accepted, all_wait, completed, failed, look, started

from mediaq.errors import FenceLost, KeyTaken, OverBudget, TooManyOpen, TryAgain, Unanswered
from mediaq.model import Certainty, Charge, Job, JobStatus, NewJob, Settled, Terms
from mediaq.settings import Database
from mediaq.store import attempts, budgets, operations
from mediaq.store.acceptance import accept, accept_all
from mediaq.store.admission import Refusal
from mediaq.store.attempts import Ending
from mediaq.store.budgets import Budget, Kind
from mediaq.store.interventions import reopen
from mediaq.store.operations import Run
from mediaq.store.pool import Store, open_store

pytest_plugins = ["store_fixtures"]

ANN, TEAM = Budget(Kind.USER, "ann"), Budget(Kind.COST_CENTER, "team-a")
LOST = Unanswered("Rekognition gave no answer", "ReadTimeoutError")
BUSY = TryAgain("Rekognition is busy", "ThrottlingException")
ESTIMATE = Decimal("0.003")
THIS_MONTH = "date_trunc('month', now() at time zone 'utc') at time zone 'utc'"


def under(user: str | None = None, cost_center: str | None = None, estimate: Decimal = ESTIMATE) -> Terms:
    """Terms with caps as they are written."""
    return Terms(
        estimate,
        None if user is None else Decimal(user),
        None if cost_center is None else Decimal(cost_center),
    )


RICH = under("1000", "1000")


def costing(amount: str) -> Charge:
    return attrs.evolve(CHARGE, unit_price=Decimal(amount))


async def begun(store: Store, job: Job, amount: str = "0.001", operation: str = "detectLabels") -> Run:
    return await operations.begin(store, job, "rekognition", operation, estimate=costing(amount))


async def standing(store: Store, budget: Budget = ANN) -> tuple[Decimal, Decimal]:
    """What is spent and what is reserved."""
    found = (await budgets.show(store))[budget]
    return found.spent, found.reserved


async def figures(store: Store, *expected: str) -> None:
    """Both budgets have spent and reserved so much, before and after what has changed is added up."""
    wanted = tuple(map(Decimal, expected))
    assert [await standing(store, ANN), await standing(store, TEAM)] == [wanted, wanted]
    await budgets.add_up(store)
    assert await store.pool.fetchval("select count(*) from budget_changes") == 0
    assert [await standing(store, ANN), await standing(store, TEAM)] == [wanted, wanted]


async def figures_of_ann(store: Store, *expected: str) -> None:
    assert await standing(store) == tuple(map(Decimal, expected))


async def move_costs(store: Store, to: str) -> None:
    await store.pool.execute(f"update cost_entries set created_at = {to}")  # noqa: S608


# What is accepted


@pytest.mark.parametrize("terms", [under(user="0.009"), under(cost_center="0.009")], ids=["user", "team"])
async def test_a_job_that_comes_exactly_to_the_cap_is_accepted_and_the_next_is_not(
    store: Store, terms: Terms
) -> None:
    for _ in range(3):
        await accepted(store, terms=terms)
    cheap = attrs.evolve(terms, estimate=Decimal("0.0001"))
    with pytest.raises(OverBudget) as refused:
        await accepted(store, terms=cheap)
    over = refused.value
    assert (over.budget, over.spent, over.reserved, over.estimate) == (
        Decimal("0.009"), Decimal(0), Decimal("0.009"), Decimal("0.0001"),
    )  # fmt: skip
    free = attrs.evolve(terms, estimate=Decimal(0))
    await accepted(store, terms=free)
    assert await store.pool.fetchval("select count(*) from jobs") == 4


async def test_the_reason_names_the_budget_and_its_figures(store: Store) -> None:
    await accepted(store, terms=under(cost_center="0.005"))
    with pytest.raises(OverBudget) as refused:
        await accepted(store, terms=under("10", "0.005"))
    over = refused.value
    assert (over.whose, over.name) == ("costCenter", "team-a")
    assert str(over) == (
        f"the budget of cost center team-a for {over.month:%Y-%m} is $0.005: $0 is spent, open jobs may cost "
        "$0.003, and this one $0.003"
    )


async def test_a_refused_job_leaves_nothing_behind(store: Store) -> None:
    with pytest.raises(OverBudget):
        await accepted(store, terms=under("0.002", "1"), media_item_id="new")
    assert await store.pool.fetchval("select count(*) from jobs") == 0
    assert await store.pool.fetchval("select count(*) from media_items") == 0
    await figures(store, "0", "0")


async def test_budgets_of_others_are_their_own(store: Store) -> None:
    await accepted(store, terms=under(user="0.003"))
    await accepted(store, terms=under(user="0.003"), user_id="bob", media_item_id="bob's")
    await accepted(store, terms=under(cost_center="0.009"))
    await accepted(store, terms=under(cost_center="0.003"), cost_center="team-b")
    await accepted(store, terms=under(cost_center="0.001"), cost_center=None)


async def test_a_repeated_request_finds_its_job_although_the_budget_is_used_up(store: Store) -> None:
    terms = under(user="0.003")
    first = await accepted(store, terms=terms, idempotency_key="k", digest="d")
    again = attrs.evolve(JOB, id="again", terms=terms, idempotency_key="k", digest="d")
    assert await accept(store, again, PATIENCE) == (first, False)
    with pytest.raises(KeyTaken):
        await accept(store, attrs.evolve(again, digest="other"), PATIENCE)


async def batch(store: Store, news: Sequence[NewJob], open_jobs: int = 0) -> Mapping[str, Refusal]:
    """Accepts jobs in one transaction; returns why some were not."""
    outcomes = await accept_all(store, news, PATIENCE, open_jobs)
    named = zip(news, outcomes, strict=True)
    return {new.id: outcome for new, outcome in named if isinstance(outcome, OverBudget | TooManyOpen)}


async def test_jobs_accepted_in_one_transaction_are_checked_one_after_the_other(store: Store) -> None:
    """Those without room are taken back with the media items that were made for them."""
    await accepted(store, terms=under("0.007", "1", Decimal("0.001")))
    estimates = {"a": "0.002", "b": "0.005", "c": "0.003", "d": "0.002", "e": "0.001"}
    news = [
        attrs.evolve(JOB, id=name, media_item_id=name, terms=under("0.007", "1", Decimal(estimate)))
        for name, estimate in estimates.items()
    ]
    refused = await batch(store, news)
    assert refused.keys() == {"b", "d"}
    over = refused["d"]
    assert isinstance(over, OverBudget)
    assert (over.reserved, over.estimate) == (Decimal("0.006"), Decimal("0.002"))
    items = await store.pool.fetch("select id from media_items order by id")
    assert [row["id"] for row in items] == ["a", "c", "e", "photo"]
    await figures(store, "0", "0.007")


async def test_of_a_batch_as_many_are_accepted_as_may_be_open(store: Store) -> None:
    """What is taken back reserves nothing."""
    await accepted(store, terms=RICH)
    news = [attrs.evolve(JOB, id=name, media_item_id=name, terms=RICH) for name in "abcde"]
    refused = await batch(store, news, open_jobs=3)
    assert {name: type(refusal) for name, refusal in refused.items()} == dict.fromkeys("cde", TooManyOpen)
    assert await store.pool.fetchval("select count(*) from jobs") == 3
    await figures(store, "0", "0.009")


# What is counted


async def test_without_caps_nothing_is_counted(store: Store) -> None:
    job = await started(store, await accepted(store, terms=Terms(ESTIMATE)))
    await operations.settle(store, await begun(store, job), Settled([], CHARGE))
    assert await budgets.show(store) == {}
    for table in ("budget_changes", "budget_months", "reservations"):
        assert await store.pool.fetchval(f"select count(*) from {table}") == 0  # noqa: S608
    assert (await look(store, job)).estimate == ESTIMATE


async def test_what_calls_cost_is_spent_and_no_longer_reserved(store: Store) -> None:
    job = await started(store, await accepted(store, terms=RICH))
    await figures(store, "0", "0.003")
    run = await begun(store, job)
    await figures(store, "0.001", "0.002")
    await operations.settle(store, run, Settled([], costing("0.0004")))
    await figures(store, "0.0004", "0.0026")
    await attempts.end(store, job, completed())
    await figures(store, "0.0004", "0")


async def test_an_answer_that_was_lost_counts_as_spent_and_one_that_was_refused_does_not(
    store: Store,
) -> None:
    job = await started(store, await accepted(store, terms=RICH))
    await operations.fail(store, await begun(store, job), LOST)
    await operations.fail(store, await begun(store, job, operation="detectText"), BUSY)
    await figures(store, "0.001", "0.002")
    await attempts.end(store, job, failed())
    await figures(store, "0.001", "0")


async def test_a_late_answer_to_a_closed_job_counts(store: Store) -> None:
    job = await started(store, await accepted(store, terms=RICH))
    run = await begun(store, job)
    await attempts.end(store, job, failed())
    await operations.settle(store, run, Settled([], costing("0.0007")))
    await figures(store, "0.0007", "0")


async def test_calls_beyond_the_estimate_reserve_nothing_further(store: Store) -> None:
    job = await started(store, await accepted(store, terms=RICH))
    run = await begun(store, job, "0.005")
    await figures(store, "0.005", "0")
    await operations.settle(store, run, Settled([], costing("0.002")))
    await figures(store, "0.002", "0.001")


async def test_a_reused_result_costs_nothing(store: Store) -> None:
    job = await started(store, await accepted(store, terms=RICH))
    run = await operations.begin(store, job, "rekognition", "detectLabels", estimate=None)
    await operations.settle(store, run, Settled([], attrs.evolve(CHARGE, units=Decimal(0))), Certainty.REUSED)
    await figures(store, "0", "0.003")
    await attempts.end(store, job, completed())
    await figures(store, "0", "0")


async def test_a_delayed_job_keeps_its_reservation(store: Store) -> None:
    job = await started(store, await accepted(store, terms=RICH))
    await attempts.end(store, job, Ending(JobStatus.DELAYED, {}, reason="busy", delay=1))
    await figures(store, "0", "0.003")
    await attempts.release(store, await started(store, job))
    await figures(store, "0", "0.003")


async def test_a_job_that_is_deleted_with_its_item_gives_its_reservation_back(store: Store) -> None:
    await accepted(store, terms=RICH)
    await store.pool.execute("delete from media_items")
    await figures(store, "0", "0")


async def test_a_new_month_begins_with_what_is_reserved_alone(store: Store) -> None:
    """A call counts for the month (UTC) in which it was begun, whenever it is answered."""
    job = await started(store, await accepted(store, terms=RICH))
    run = await begun(store, job)
    await figures(store, "0.001", "0.002")
    await move_costs(store, f"{THIS_MONTH} - interval '1 microsecond'")
    await figures(store, "0", "0.002")
    await operations.settle(store, run, Settled([], costing("0.0005")))
    await figures(store, "0", "0.0025")
    await move_costs(store, THIS_MONTH)
    await figures(store, "0.0005", "0.0025")


async def test_a_cap_that_comes_later_counts_what_is_on_record(store: Store) -> None:
    """Costs of this month, and what open jobs may still cost, those of an older version included."""
    done = await started(store, await accepted(store, terms=Terms(ESTIMATE)))
    await operations.settle(store, await begun(store, done), Settled([], CHARGE))
    await attempts.end(store, done, completed())
    running = await started(store, await accepted(store, terms=Terms(ESTIMATE)))
    run = await begun(store, running)
    older = await accepted(store)
    await store.pool.execute("update jobs set estimate = null where id = $1", older.id)
    with pytest.raises(OverBudget):
        await accepted(store, terms=under("0.0069", "1000"))
    await figures(store, "0.002", "0.002")
    await operations.settle(store, run, Settled([], costing("0.0005")))
    await figures(store, "0.0015", "0.0025")
    await accepted(store, terms=Terms(ESTIMATE))
    await figures(store, "0.0015", "0.0055")


async def test_a_budget_counts_in_full_what_is_written_while_it_begins(
    store: Store, migrated_url: str
) -> None:
    """Two processes write costs and jobs of a user whose first job under a cap comes in the middle of it."""

    async def spend(through: Store, number: int) -> None:
        new = await accepted(through, terms=Terms(ESTIMATE), media_item_id=f"m{number}")
        job = await started(through, new)
        run = await begun(through, job)
        if number % 3:
            await operations.settle(through, run, Settled([], costing("0.0004")))
        if number % 2:
            await attempts.end(through, job, completed())

    async def begin(number: int) -> None:
        await asyncio.sleep(number * 0.02)
        await accepted(store, terms=RICH, media_item_id="photo")

    async with open_store(Database(url=migrated_url, pool_size=8)) as other:
        works = [spend((store, other)[number % 2], number) for number in range(60)]
        await asyncio.gather(*works, *(begin(number) for number in range(8)))
    spent = await store.pool.fetchval("select sum(amount) from cost_entries")
    reserved = await store.pool.fetchval(
        """
        select sum(greatest(estimate - coalesce(spent, 0), 0)) from jobs
        left join (select job_id, sum(amount) as spent from cost_entries group by job_id) costs on job_id = id
        where status in ('waiting', 'active', 'delayed')
        """
    )
    assert spent == 40 * Decimal("0.0004") + 20 * Decimal("0.001")
    await figures(store, str(spent), str(reserved))


async def test_a_budget_that_nobody_locks_is_added_up_beside_one_that_is_locked(store: Store) -> None:
    await accepted(store, terms=RICH)
    await budgets.add_up(store)
    await accepted(store, terms=Terms(ESTIMATE))
    async with store.transaction() as connection:
        await store.queries.lock_budgets(connection, kinds=["user"], names=["ann"])
        await budgets.add_up(store)
        left = await store.pool.fetch("select kind, name from budget_changes")
        assert [tuple(row) for row in left] == [("user", "ann")]
    await figures(store, "0", "0.006")


async def test_who_waits_for_another_check_sees_what_that_one_has_added_up(store: Store) -> None:
    terms = under("0.503")
    job = await started(store, await accepted(store, terms=terms))
    await begun(store, job, "0.503")
    async with store.transaction() as connection:
        await budgets.check(store, connection, [job], Decimal(0))
        waiting = asyncio.create_task(accepted(store, terms=terms))
        await all_wait(store, 1)
    with pytest.raises(OverBudget) as refused:
        await waiting
    assert refused.value.spent == Decimal("0.503")


# What is known better later


async def test_a_worker_that_knows_better_frees_what_is_too_much(store: Store) -> None:
    job = await started(store, await accepted(store, terms=under("0.003")))
    await budgets.revise(store, job, Decimal("0.001"))
    await accepted(store, terms=under("0.003", estimate=Decimal("0.002")))
    assert (await look(store, job)).estimate == Decimal("0.001")


async def test_a_job_that_needs_more_gets_it_where_its_budgets_have_room(store: Store) -> None:
    job = await started(store, await accepted(store, terms=under("0.005", "0.006")))
    await budgets.revise(store, job, Decimal("0.005"))
    await figures_of_ann(store, "0", "0.005")
    with pytest.raises(OverBudget) as refused:
        await budgets.revise(store, job, Decimal("0.0051"))
    assert (refused.value.reserved, refused.value.estimate) == (Decimal(0), Decimal("0.0051"))
    await figures_of_ann(store, "0", "0.005")


async def test_what_was_accepted_goes_on_although_its_budget_was_overspent_since(store: Store) -> None:
    terms = under("0.006")
    job = await started(store, await accepted(store, terms=terms))
    other = await started(store, await accepted(store, terms=terms))
    await begun(store, other, "0.5")
    await budgets.revise(store, job, ESTIMATE)
    await budgets.revise(store, job, Decimal("0.002"))


async def test_what_an_earlier_attempt_has_spent_is_part_of_what_is_needed(store: Store) -> None:
    job = await started(store, await accepted(store, terms=under("0.005")))
    await operations.settle(store, await begun(store, job), Settled([], CHARGE))
    await attempts.end(store, job, Ending(JobStatus.DELAYED, {}, reason="busy", delay=0))
    await budgets.revise(store, again := await started(store, job), Decimal("0.005"))
    await figures_of_ann(store, "0.001", "0.004")
    with pytest.raises(OverBudget):
        await budgets.revise(store, again, Decimal("0.006"))


async def test_only_the_newest_owner_knows_better(store: Store) -> None:
    job = await started(store, await accepted(store, terms=RICH))
    await started(store, job, "another")
    with pytest.raises(FenceLost):
        await budgets.revise(store, job, Decimal("0.001"))
    await figures_of_ann(store, "0", "0.003")


@pytest.mark.parametrize("cap", ["0.004", "0.0039"], ids=["exactly", "too little"])
async def test_a_job_that_is_run_again_reserves_anew(store: Store, cap: str) -> None:
    """What it has spent before stays spent; what it may cost again is what its caller says."""
    job = await started(store, await accepted(store, terms=under("0.003")))
    await operations.settle(store, await begun(store, job), Settled([], CHARGE))
    await attempts.end(store, job, failed())
    await figures_of_ann(store, "0.001", "0")

    again = attrs.evolve(await look(store, job), **attrs.asdict(under(cap)))
    opened, refused = await reopen(store, {job.id: again}, PATIENCE)
    if cap == "0.004":
        assert ([each.id for each in opened], refused) == ([job.id], {})
        await figures_of_ann(store, "0.001", "0.003")
    else:
        assert (opened, [type(why) for why in refused.values()]) == ([], [OverBudget])
        await figures_of_ann(store, "0.001", "0")
        assert (await look(store, job)).status is JobStatus.FAILED


# Open jobs


async def test_of_many_at_once_as_many_are_accepted_as_may_be_open(store: Store) -> None:
    asked = [attrs.evolve(JOB, id=f"job-{number}", media_item_id=f"m{number}") for number in range(30)]
    ended: list[Any] = await asyncio.gather(
        *(accept(store, new, PATIENCE, open_jobs=7) for new in asked), return_exceptions=True
    )
    refused = [end for end in ended if isinstance(end, TooManyOpen)]
    assert (len(ended), len(refused)) == (30, 23)
    assert str(refused[0]) == "7 of your jobs may be open at once, and are: wait until one has ended"
    assert await store.pool.fetchval("select count(*) from jobs") == 7


async def test_a_job_that_has_ended_makes_room_and_others_jobs_take_none(store: Store) -> None:
    first, _ = await accept(store, attrs.evolve(JOB, id="first"), PATIENCE, open_jobs=1)
    bobs = attrs.evolve(JOB, id="bobs", user_id="bob", media_item_id="bob's")
    await accept(store, bobs, PATIENCE, open_jobs=1)
    with pytest.raises(TooManyOpen):
        await accept(store, attrs.evolve(JOB, id="second"), PATIENCE, open_jobs=1)
    await attempts.end(store, await started(store, first), failed())
    await accept(store, attrs.evolve(JOB, id="third"), PATIENCE, open_jobs=1)
