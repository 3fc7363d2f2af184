"""Nothing lost, nothing paid twice, in whatever order a job's owners die, freeze and are cut off."""

import asyncio
import os
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import permutations
from typing import Any, Literal

import asyncpg
import pytest
from attrs import field, frozen
from crossing import Crossing
from hypothesis import HealthCheck, example, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from owners import SETTINGS, Fate, Owner
from provider import Call, Manner, Provider
from store_kit import accepted

from mediaq.model import Job
from mediaq.settings import Settings
from mediaq.store.pool import Store

pytest_plugins = ["store_fixtures"]

Test = Callable[..., Any]

QUEUE = "text-analysis"
# By what the provider is asked, in the order of the pipeline: the first one's result is needed by the others.
OPERATIONS = {
    "DetectDominantLanguage": "detectLanguage",
    "DetectSentiment": "detectSentiment",
    "DetectKeyPhrases": "detectKeyPhrases",
}
# Turns of the event loop that a job takes, and pieces that go either way between its owner and Postgres.
TURNS, PIECES = 350, 60
# How many histories are tried: by default always the same few, else so many, new ones.
EXAMPLES = os.environ.get("EXAMPLES")


@frozen
class Break:
    """The connection to Postgres that breaks instead of handing on one piece of what is said on it."""

    side: Literal["command", "answer"]
    piece: int


@frozen
class Step:
    """An owner of the job, and when the next one starts: once this one has met its fate or ended.

    Args:
        fate: What becomes of it.
        cut: What becomes of its connection to Postgres.
        thaw: Seconds after which it goes on if it was frozen; None: when all others have ended.
    """

    fate: Fate | None = None
    cut: Break | None = None
    thaw: float | None = None


fates = st.builds(Fate, st.sampled_from(["kill", "freeze", "cancel"]), st.integers(0, TURNS))
breaks = st.builds(Break, st.sampled_from(["command", "answer"]), st.integers(0, PIECES))
steps = st.builds(Step, fates, st.none() | breaks, st.sampled_from([0.1, 0.6, 1.5, None]))
manners = st.sampled_from(["answer", "slow", "late", "drop", "throttle"])


@frozen
class History:
    """What happened to one job: its owners, the calls, and what the record said at each call."""

    job: Job
    provider: Provider
    owners: dict[str, Owner] = field(factory=dict)
    unrecorded: list[Call] = field(factory=list)


async def play(store: Store, url: str, schedule: list[Step], how: list[Manner], *, reuse: bool) -> History:
    """Has owner after owner run a new job, a last one undisturbed."""
    # A text of its own: nothing is known of the same.
    words = {"text": f"A fine day, {uuid.uuid4()}.", "operations": dict.fromkeys(OPERATIONS.values(), True)}
    job = await accepted(
        store,
        type=QUEUE,
        media_item_id=uuid.uuid4().hex,
        request={"mediaItemId": "m", **words},
        operations=tuple(OPERATIONS.values()),
    )
    unrecorded: list[Call] = []

    async def witness(call: Call) -> None:
        begun = await store.pool.fetchval(
            "select count(*) from operation_runs join cost_entries on run_id = operation_runs.id"
            " where operation_runs.job_id = $1 and operation_runs.operation = $2",
            job.id,
            OPERATIONS[call.action],
        )
        billed = sum(each.action == call.action and each.billed for each in provider.calls)
        if begun < billed:
            unrecorded.append(call)

    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(Provider(how, witness))
        history = History(job, provider, unrecorded=unrecorded)
        later = await stack.enter_async_context(asyncio.TaskGroup())
        for number, step in enumerate([*schedule, Step()]):
            crossing = await stack.enter_async_context(Crossing(url))
            if step.cut is not None:
                crossing.set_trap(step.cut.side, b"", passes=step.cut.piece)
            name = f"owner-{number}"
            environment = {
                **os.environ,
                **SETTINGS,
                "MEDIAQ_REUSE__ENABLED": str(reuse).lower(),
                "DATABASE_URL": crossing.url,
                "AWS_ENDPOINT_URL": provider.url_for(name),
            }
            owner = Owner(environment, QUEUE, job.id, step.fate)
            stack.callback(owner.close)
            history.owners[name] = owner
            await owner.until_met()
            if step.thaw is not None and step.fate is not None and step.fate.what == "freeze":
                later.create_task(thaw(owner, step.thaw))
        for owner in reversed(history.owners.values()):
            await owner.until_ended()
    return history


async def thaw(owner: Owner, seconds: float) -> None:
    await asyncio.sleep(seconds)
    if owner.outcome is None:
        owner.thaw()


async def check(store: Store, history: History) -> None:
    job = await store.pool.fetchrow("select * from jobs where id = $1", history.job.id)
    runs = await store.pool.fetch(
        "select runs.*, certainty, request_id"
        " from operation_runs runs left join cost_entries on run_id = runs.id"
        " where runs.job_id = $1 order by runs.id",
        history.job.id,
    )
    assert job is not None
    # Good input ends completed; what befell its owners used up no attempt.
    assert (job["status"], job["attempts"]) == ("completed", 1), job["failed_reason"]
    # One result an operation.
    succeeded = Counter(run["operation"] for run in runs if run["state"] == "succeeded")
    assert succeeded == dict.fromkeys(OPERATIONS.values(), 1)
    # An owner with an older fence begins nothing.
    fences = [run["fence"] for run in runs]
    assert fences == sorted(fences)
    # No call is begun after the operation's result is on record.
    results = {run["operation"]: run["finished_at"] for run in runs if run["state"] == "succeeded"}
    assert [run for run in runs if run["started_at"] > results[run["operation"]]] == []
    # While a call may be answered, no newer owner repeats it.
    assert [pair for pair in permutations(runs, 2) if is_repeated_too_soon(*pair)] == []
    # Each call was on record before it was made.
    assert history.unrecorded == []
    check_costs(history, runs)
    # Usage counts what is billed, once.
    sums = "select item, sum(units) from cost_entries where certainty = 'billed' group by item order by item"
    usage = "select item, units from monthly_usage order by item"
    assert list(map(tuple, await store.pool.fetch(sums))) == list(map(tuple, await store.pool.fetch(usage)))


def is_repeated_too_soon(earlier: asyncpg.Record, later: asyncpg.Record) -> bool:
    over = min(earlier["deadline"], earlier["finished_at"] or earlier["deadline"])
    is_other_owners = earlier["operation"] == later["operation"] and earlier["fence"] < later["fence"]
    return bool(is_other_owners and later["started_at"] < over)


def check_costs(history: History, runs: list[asyncpg.Record]) -> None:
    billed = [run["request_id"] for run in runs if run["certainty"] == "billed"]
    answered = {call.id for call in history.provider.calls if call.answered and call.billed}
    # What is billed was answered, and each answer is billed once.
    assert len(billed) == len(set(billed))
    assert set(billed) <= answered
    # What was answered is billed, unless its owner died or was frozen, or had heard nothing for too long.
    heard = {
        call.id
        for call in history.provider.calls
        if call.id in answered and can_hear(history.owners[call.owner])
    }
    assert len(heard - set(billed)) <= sum(run["state"] == "unanswered" for run in runs)
    # Whatever else was done there is possibly billed.
    for action, operation in OPERATIONS.items():
        done = [call for call in history.provider.calls if call.action == action and call.billed]
        rows = [run for run in runs if run["operation"] == operation and run["certainty"] is not None]
        assert len(done) <= len(rows)


def can_hear(owner: Owner) -> bool:
    return owner.fate is None or owner.fate.what == "cancel"


# Owners that meet their fates all along a job whose calls take their time, and the next one comes at once.
TYPICAL = (
    *(Step(Fate("freeze", turn), thaw=0.6) for turn in range(40, 240, 40)),
    *(Step(Fate("cancel", turn)) for turn in range(120, 240, 40)),
    *(Step(Fate("kill", turn)) for turn in range(120, 240, 40)),
)


def with_typical_ones(test: Test) -> Test:
    """Tries these always, before what is made at random."""
    for step in TYPICAL:
        test = example(schedule=[step], how=["slow"] * 4, reuse=False)(test)
    return test


@with_typical_ones
@given(
    schedule=st.lists(steps, min_size=1, max_size=4), how=st.lists(manners, max_size=8), reuse=st.booleans()
)
@profile(
    max_examples=int(EXAMPLES or 12),
    deadline=None,
    derandomize=EXAMPLES is None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pytest.mark.timeout(180 if EXAMPLES is None else 7200)
async def test_a_job_ends_completed_and_each_call_is_on_the_ledger_once(
    store: Store, settings: Settings, schedule: list[Step], how: list[Manner], reuse: bool
) -> None:
    async with asyncio.timeout(60):
        history = await play(store, settings.database.url, schedule, how, reuse=reuse)
        await check(store, history)
