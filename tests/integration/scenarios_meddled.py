"""What may become of a job that somebody stops, cancels or deletes while it runs."""

import differences as meant
import errands
from differential_kit import FIRST, Bench, Enqueue, Scenario
from rq import Retry
from rq.command import send_stop_execution_command, send_stop_job_command
from rq.rate_limit import RateLimit
from scenarios_alone import one
from scenarios_together import fetch, pair


def stop(bench: Bench) -> None:
    send_stop_job_command(bench.redis, "a")


def stop_execution(bench: Bench) -> None:
    [execution] = fetch(bench).get_executions()
    send_stop_execution_command(bench.redis, "a", execution.id)


def delete(bench: Bench) -> None:
    fetch(bench).delete()
    bench.give_word()


def cancel(bench: Bench) -> None:
    fetch(bench).cancel()
    bench.give_word()


def cancel_freeing(bench: Bench) -> None:
    fetch(bench).cancel(enqueue_dependents=True)
    bench.give_word()


def add_child(bench: Bench) -> None:
    bench.queue.enqueue(errands.add, 2, job_id="b", depends_on="a")
    bench.give_word()


def limited(bench: Bench) -> None:
    """A job that holds its limit's only slot, and one that waits for it."""
    limit = RateLimit("limit", 1)
    bench.queue.enqueue(errands.wait_for_word, job_id="a", rate_limit=limit)
    bench.queue.enqueue(errands.tell, "b", job_id="b", rate_limit=limit)


STOPS = [
    Scenario(name, enqueue, meddle, served=(FIRST,), forks=True, allowed=meant.STOPPED)
    for name, enqueue, meddle in (
        ("stopped", one(errands.wait_for_word), stop),
        (
            "coroutine stopped, with a callback",
            one(
                errands.wait_later,
                on_stopped=errands.on_stopped,
                on_failure=errands.on_failure,
            ),
            stop_execution,
        ),
        (
            "stopped, with a callback that raises, retries and a dependent",
            pair(
                errands.wait_for_word,
                on_stopped=errands.break_on_stopped,
                retry=Retry(max=2),
                failure_ttl=30,
            ),
            stop,
        ),
    )
]

WAIT: Enqueue = one(errands.wait_for_word)

SCENARIOS = [
    *STOPS,
    Scenario("cancelled while running", WAIT, cancel, allowed=meant.CANCELED),
    Scenario(
        "cancelled by itself, with a dependent", pair(errands.cancel_myself), allowed=meant.CANCELED_PARENT
    ),
    Scenario(
        "cancelled while running, freeing its dependent",
        pair(errands.wait_for_word),
        cancel_freeing,
        allowed=meant.CANCELED,
    ),
    Scenario("cancelled while it holds a rate limit", limited, cancel, allowed=meant.CANCELED),
    Scenario("deleted while running", WAIT, delete, allowed=meant.DELETED),
    Scenario("deleted by itself", one(errands.delete_myself), allowed=meant.DELETED),
    Scenario("deleted while it holds a rate limit", limited, delete, allowed=meant.DELETED),
    Scenario("dependent added while running", WAIT, add_child),
]
