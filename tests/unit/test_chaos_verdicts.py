"""What `scripts/chaos` makes of what it finds: each thing that may go wrong turns its own check red."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from havoc.course import Course, Plan
from havoc.crew import Roster
from havoc.evidence import Evidence
from havoc.faults import Blow, Fault, Struck
from havoc.judge import complaints, judge
from havoc.ledger import LONGEST_CALL
from havoc.orders import Order, draw_orders
from havoc.record import Cost, Job, Record, Run
from havoc.recovery import NEVER, recoveries
from havoc.webapp import Answers
from mediaq import audit
from mediaq.model import Certainty

BEGAN, RESULT, END = 1_000.0, 1_003.0, 1_005.0
ITEM = "rekognition.image"
FLUSH = Fault("flush-redis", at=1.0, targets=("valkey",))


def order_of_images() -> Order:
    found = (order for order in draw_orders(1, 40, 10, "media") if order.queue == "image-processing")
    return next(order for order in found if len(order.operations) == 1)


ORDER = order_of_images()
[OPERATION] = ORDER.operations
JOB = Job(
    id="job", media_item_id=ORDER.media_item, status="completed", media_status="completed", attempts=1,
    deaths=0, failed_reason=None, stacktrace=[], accepted_at=BEGAN, finished_at=END,
)  # fmt: skip
RUN = Run(
    id=1, job_id="job", operation=OPERATION, part="", state="succeeded", error=None, started_at=BEGAN + 1,
    finished_at=RESULT,
)  # fmt: skip
COST = Cost(1, audit.Entry(
    id=1, job_id="job", operation=OPERATION, item=ITEM, units=Decimal(1), amount=Decimal("0.001"),
    certainty=Certainty.BILLED,
))  # fmt: skip
CALL = audit.Call(
    id="call", operation=OPERATION, item=ITEM, units=Decimal(1), at=datetime.fromtimestamp(BEGAN + 2, UTC),
    resource=next(iter(ORDER.resources)), names=frozenset(),
)  # fmt: skip
RECORD = Record([JOB], [RUN], [COST], [CALL])
STRUCK = Struck(FLUSH, Blow(BEGAN, BEGAN, "9 keys before it, 0 after it"), frozenset({"job"}))


def evidence(**changes: Any) -> Evidence:
    found = Evidence(
        plan=Plan([ORDER], [FLUSH], Roster.of(2), 10),
        course=Course(5.0, [STRUCK]),
        answers=Answers({ORDER.number: ["job"]}),
        record=RECORD,
        own_ends={},
        queued={},
    )
    return evolve(found, **changes)


def recorded(**changes: Any) -> Evidence:
    return evidence(record=evolve(RECORD, **changes))


def failing(found: Evidence) -> set[str]:
    return {check.what for check in judge(found) if not check.passed}


def test_nothing_fails_where_all_is_well() -> None:
    assert failing(evidence()) == set()
    assert list(complaints(evidence())) == []


AGAIN = evolve(RUN, id=2, state="unanswered", started_at=RESULT + 0.1, finished_at=RESULT + 1)
POSSIBLY = Cost(2, evolve(COST.entry, id=2, certainty=Certainty.POSSIBLY_BILLED))
LATE = evolve(CALL, id="late", at=datetime.fromtimestamp(RESULT + LONGEST_CALL + 1, UTC))
ANOTHER = evolve(JOB, id="another")


@pytest.mark.parametrize(
    ("found", "checks"),
    [
        (evidence(answers=Answers()), {"requests accepted", "jobs completed"}),
        (
            evidence(answers=Answers({ORDER.number: ["job"]}, complaints=["500 something went wrong"])),
            {"answers other than 202, 503 and 504"},
        ),
        (
            evidence(answers=Answers({ORDER.number: ["job", "another"]})),
            {"of 1 sent again with their key, answered with another job"},
        ),
        (
            recorded(jobs=[], runs=[], costs=[], calls=[]),
            {"jobs completed", "jobs lost: accepted and not on record"},
        ),
        (
            recorded(jobs=[evolve(JOB, status="active", finished_at=None)]),
            {"jobs completed", "jobs lost: on record and not closed"},
        ),
        (
            recorded(jobs=[evolve(JOB, status="failed", media_status="failed", failed_reason="gave up")]),
            {"jobs completed", "jobs failed, by reason"},
        ),
        (recorded(jobs=[evolve(JOB, attempts=2)]), {"jobs of which an attempt failed"}),
        (
            recorded(jobs=[evolve(JOB, media_status="processing")]),
            {"media items that show another status than their job"},
        ),
        (recorded(jobs=[ANOTHER, JOB]), {"jobs completed", "jobs beyond one a request"}),
        (
            recorded(runs=[evolve(RUN, state="unanswered")]),
            {"operations of completed jobs without a result"},
        ),
        (recorded(runs=[RUN, AGAIN]), {"calls begun although their answer was on record"}),
        (
            recorded(calls=[CALL, LATE], costs=[COST, POSSIBLY], runs=[RUN, evolve(AGAIN, started_at=BEGAN)]),
            {"calls billed long after their operation's result"},
        ),
        (
            recorded(costs=[]),
            {
                "billed calls without a cost row of their own",
                "cost rows at odds with the stand-in's bill, job by job",
            },
        ),
        (recorded(calls=[]), {"cost rows at odds with the stand-in's bill, job by job"}),
        (
            recorded(calls=[evolve(CALL, units=Decimal(2))]),
            {"cost rows at odds with the stand-in's bill, job by job"},
        ),
        (
            recorded(calls=[CALL, evolve(CALL, id="stray", resource="s3://media/elsewhere")]),
            {
                "billed calls without a cost row of their own",
                "cost rows at odds with the stand-in's bill, job by job",
            },
        ),
        (
            recorded(costs=[COST, POSSIBLY], runs=[RUN, evolve(AGAIN, state="failed", started_at=BEGAN)]),
            {"of them neither unanswered nor cut off"},
        ),
        (recorded(costs=[COST, evolve(POSSIBLY, run_id=None)]), {"of them neither unanswered nor cut off"}),
        (
            evidence(course=Course(5.0, [evolve(STRUCK, took_effect=False)])),
            {"faults that were seen to take effect"},
        ),
        (evidence(course=Course(5.0, [])), {"faults that were seen to take effect"}),
        (evidence(own_ends={"serve-1": 1}), {"services that ended although nothing struck them"}),
        (evidence(queued={"failed": 1}), {"jobs that the queues show as open or failed"}),
    ],
)
def test_each_thing_that_goes_wrong_fails_its_own_check(found: Evidence, checks: set[str]) -> None:
    assert failing(found) == checks


def test_a_call_repeated_before_its_result_was_on_record_is_no_fault() -> None:
    """Its answer was lost, it was billed, and it stands as possibly billed."""
    lost = evolve(AGAIN, started_at=BEGAN)
    assert (
        failing(recorded(runs=[RUN, lost], costs=[COST, POSSIBLY], calls=[CALL, evolve(CALL, id="b")]))
        == set()
    )


def test_a_part_of_an_operation_is_called_again_where_its_answer_is_on_record() -> None:
    parts = [evolve(RUN, id=3, part=part, state="part_succeeded") for part in ("0:a", "1:b")]
    join = evolve(RUN, started_at=RESULT + 1, finished_at=RESULT + 2)
    assert failing(recorded(runs=[*parts, join])) == set()
    again = evolve(AGAIN, part="1:b")
    assert failing(recorded(runs=[*parts, join, again])) == {
        "calls begun although their answer was on record"
    }


def test_the_stock_worker_may_end_by_itself() -> None:
    assert failing(evidence(own_ends={"stock": 2, "worker-1": 1})) == set()


def test_what_a_check_only_counts_is_told_in_a_sentence() -> None:
    [sentence] = complaints(recorded(runs=[RUN, AGAIN]))
    assert sentence == f"job job: {OPERATION} was called again by run 2, which is unanswered"
    [sentence] = complaints(recorded(jobs=[evolve(JOB, status="delayed", finished_at=None)]))
    assert sentence == "job job is still delayed, after 1 attempts and 0 deaths"
    trace = 'Traceback:\n  File "/srv/mediaq/tasks.py", line 7\n  File "socket.py", line 1\nOSError: gone\n'
    [sentence] = complaints(recorded(jobs=[evolve(JOB, attempts=2, stacktrace=[trace])]))
    assert sentence == "job job used 2 attempts; the first failed by OSError: gone (mediaq/tasks.py:7)"
    [sentence] = complaints(recorded(costs=[]))
    assert sentence.startswith(f"job job: {OPERATION}: no cost row for 1 units of {ITEM}")


def over(moment: float, **changes: Any) -> Struck:
    return evolve(STRUCK, blow=Blow(BEGAN, moment, "seen"), **changes)


def test_recovery_is_measured_from_the_end_of_a_fault() -> None:
    [found] = recoveries([over(BEGAN + 1.5)], RECORD)
    assert (found.kind, found.times) == ("flush-redis", 1)
    assert found.next_ends == [END - BEGAN - 1.5]
    assert found.went_on == [RESULT - BEGAN - 1.5]


def test_a_job_that_ended_during_a_fault_went_on_at_once() -> None:
    [found] = recoveries([over(END + 1)], RECORD)
    assert found.next_ends == []  # nothing was open
    assert found.went_on == [0.0]


def test_a_job_that_never_went_on_is_shown_as_such() -> None:
    stuck = Record([evolve(JOB, status="active", finished_at=None)], [], [], [])
    [found] = recoveries([over(BEGAN + 1)], stuck)
    assert (found.next_ends, found.went_on) == ([NEVER], [NEVER])


def test_a_fault_without_effect_has_no_recovery() -> None:
    assert recoveries([over(BEGAN, took_effect=False)], RECORD) == []
