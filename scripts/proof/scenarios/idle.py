"""How long a job waits for a worker that has had nothing to do."""

import time
from contextlib import ExitStack

from proof.checks import Check, delays
from proof.stage import Stage

# Each is silent for the same time, a few of them at once to save time.
WORKERS = 4


def wake_worker(stage: Stage) -> list[Check]:
    """Give an idle worker a job after some silence."""
    queues = [f"idle-{number}" for number in range(WORKERS)]
    waits: list[float] = []
    with ExitStack() as stack:
        for queue in queues:
            stack.enter_context(stage.working({queue: 10}))
            # The first imports the task.
            stage.wait_for_ends(stage.enqueue(queue, "nap", 0.0), 10)
        while len(waits) < stage.effort.samples:
            time.sleep(stage.effort.silence)
            waits += [_wake(stage, queue) for queue in queues]
    return delays(f"from enqueue to start after {stage.effort.silence:g} s of silence", 10, waits, unit="ms")


def _wake(stage: Stage, queue: str) -> float:
    sent = time.time()
    [job] = stage.enqueue(queue, "nap", 0.0)
    stage.wait_for_ends([job], 10)
    return stage.diary.started_after(sent)[job] * 1000
