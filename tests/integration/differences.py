"""Where mediaq's worker leaves something else in Redis than RQ's, and why."""

import re

from attrs import frozen
from redis_state import Difference, show


@frozen
class Allowed:
    """A difference that is meant.

    Args:
        reason: Why.
        name: Matches the difference's name in full: `key / field`.
        stock: Matches what RQ's worker leaves, as `show` shows it.
        ours: Matches what mediaq's leaves.
    """

    reason: str
    name: str
    stock: str = ".*"
    ours: str = ".*"

    def covers(self, difference: Difference) -> bool:
        found = (difference.name, show(difference.stock), show(difference.ours))
        wanted = (self.name, self.stock, self.ours)
        return all(re.fullmatch(*pair, re.DOTALL) for pair in zip(wanted, found, strict=True))


NOTHING = "nothing"
JOB, RESULTS = "rq:job:[^:/]+", "rq:results:[^:/]+"
# The registry, or one job in it.
FINISHED, FAILED, SCHEDULED = "rq:finished:first( / a)?", "rq:failed:first", "rq:scheduled:first"
WORKER = "rq:worker:[^:/]+"
ERROR = f"{RESULTS} / failed 1 / exc_string"


def only_stock(reason: str, *names: str) -> tuple[Allowed, ...]:
    return tuple(Allowed(reason, name, ours=NOTHING) for name in names)


def only_ours(reason: str, *names: str) -> tuple[Allowed, ...]:
    return tuple(Allowed(reason, name, stock=NOTHING) for name in names)


# These may be in every scenario. Those below must be there where a scenario names them.
ALWAYS = (
    *only_ours("mediaq's own keys: leases, counts, times of ends", "(while it runs: )?mediaq:.*"),
    *only_ours("mediaq's own fields in a job's hash", f"{JOB} / mediaq_.*"),
)

_ERROR = "an attempt that is followed by another leaves its error readable; RQ writes it to its log only"
ERRORS_OF_RETRIES = (
    *only_ours(_ERROR, rf"{RESULTS} / retried \d / \w+"),
    Allowed(_ERROR, f"{RESULTS} / order", ours=r"\['retried', .*"),
)
# The same, where there is no other result yet.
ERROR_OF_WAITING = only_ours(_ERROR, RESULTS)

LAST_RESULT = only_stock(
    "RQ leaves what a job returned in its hash too, where only its deprecated `Job.result` looks, and only"
    " where there is no result: it would take its room twice",
    f"{JOB} / result",
)

RETURNED_RETRY = (
    Allowed(
        "as text: RQ pickles the object, and what mediaq writes is read without resolving a class",
        rf"{RESULTS} / (retried|max_retries_exceeded) \d / return_value",
        stock=r"Retry\(.*\)",
        ours=r"'Retry\(.*\)'",
    ),
    *LAST_RESULT,
)

_TIMED_OUT = r".*JobTimeoutException: Task exceeded maximum timeout value \(1 seconds\)"
_WHERE = "a coroutine tells where it was cut short; a thread is not cut short, it goes on unheard"
TIMEOUT = (Allowed(_WHERE, ERROR, stock=_TIMED_OUT, ours=_TIMED_OUT),)
# Of the callback of a failure, which stays readable above it.
_BOTH = f".*\nLookupError: no such thing\n{_TIMED_OUT}"
TIMEOUT_OF_CALLBACK = (Allowed(_WHERE, ERROR, stock=_BOTH, ours=_BOTH),)

_REFUSAL = r".*(Function|Payload)Refused: .*"
REFUSED = (Allowed("a refusal says what was refused, and what to do", ERROR, ours=_REFUSAL),)

_MISSING = "there is no such function: says it in other words"
MISSING = (Allowed(_MISSING, ERROR, stock=".*Invalid attribute name: nowhere", ours=".* does not exist"),)
MISSING_FOR_NOW = (
    Allowed(
        _MISSING, "journal / items", stock=".*Invalid attribute name: nowhere.*", ours=".* does not exist.*"
    ),
    *ERROR_OF_WAITING,
)

_NOT_PLAIN = "payloads that name a class are refused, for to read one is to call whatever it names"
NOT_PLAIN = (
    *only_stock(_NOT_PLAIN, FINISHED, rf"{RESULTS} / successful 1 / \w+", f"{WORKER} / successful_job_count"),
    *only_ours(_NOT_PLAIN, FAILED, rf"{RESULTS} / failed 1 / \w+", f"{WORKER} / failed_job_count"),
    Allowed(_NOT_PLAIN, f"{JOB} / status", stock="finished", ours="failed"),
    Allowed(_NOT_PLAIN, f"{RESULTS} / order", ours=r"\['failed'\]"),
    Allowed(_NOT_PLAIN, f"{RESULTS} / expires", ours="never"),
    Allowed(_NOT_PLAIN, f"{JOB} / expires"),
)

_LEFT = "RQ's worker quits at it, and leaves the job as if it ran, until a clean-up finds it"
LEFT_RUNNING = (
    *only_stock(_LEFT, "executions at the end", "rq:execution:.*", "rq:executions:.*", "rq:wip:.*"),
    *only_ours(_LEFT, FAILED, RESULTS, rf"{WORKER} / (failed_job_count|total_working_time)"),
    Allowed(_LEFT, f"{WORKER} / state", stock="busy", ours="idle"),
    Allowed(_LEFT, f"{JOB} / status", stock="started", ours="failed"),
    Allowed(_LEFT, f"{JOB} / expires", stock="never"),
    Allowed(_LEFT, f"{JOB} / ended_at", stock="empty"),
)

_CANCELED = "a job that was cancelled stays cancelled; RQ's worker finishes it over that"
_UNCOUNTED = Allowed(
    "it counts for neither a success nor a failure", f"{WORKER} / (successful_job_count|total_working_time)"
)
CANCELED = (
    *only_stock(_CANCELED, FINISHED, "rq:results:a"),
    Allowed(_CANCELED, "rq:job:a / status", stock="finished", ours="canceled"),
    Allowed(_CANCELED, "rq:job:a / ended_at", ours="empty"),
    Allowed(_CANCELED, "rq:job:a / expires", ours="never"),
    _UNCOUNTED,
)
CANCELED_PARENT = (*CANCELED, Allowed("nor does this expire", "rq:job:a:dependents / expires", ours="never"))
CANCELED_BEFORE = (
    *CANCELED,
    Allowed("nor is it started", "rq:job:a / (started_at|last_heartbeat|worker_name)", ours="empty"),
)

_DELETED = "a job that was deleted stays deleted; RQ's worker brings half of it back"
DELETED = (*only_stock(_DELETED, FINISHED, "rq:job:a", "rq:results:a"), _UNCOUNTED)

SUSPENDED = (
    Allowed("it says so, in a burst too", f"{WORKER} / state", stock="started", ours="suspended"),
    *only_ours("it cleans up all the same", "rq:clean_groups"),
)

_STALE = "RQ writes a stopped job's hash as it was before it started: times and worker are lost"
STOPPED = (
    Allowed(_STALE, f"{JOB} / (ended_at|last_heartbeat|worker_name)", stock="empty"),
    *only_ours(_STALE, f"{RESULTS} / failed 1 / execution_ended_at", f"{WORKER} / total_working_time"),
    *only_ours("a heartbeat finds an execution's queue by it", "while it runs: rq:execution:.* / queue"),
    Allowed(
        "RQ's time of an idle worker stands until the first heartbeat, seconds later",
        f"while it runs: {WORKER} / expires",
        stock="about (90|89).*",
        ours="about (480|479).*",
    ),
    Allowed(
        "stays a minute longer than RQ's: it never goes before the executions in it",
        f"while it runs: {WORKER}:executions / expires",
        stock="about (90|89).*",
        ours="about (150|149).*",
    ),
)
