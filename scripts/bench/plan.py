"""What is measured in one round, and in which order."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from attrs import frozen
from rich.console import Console
from rich.text import Text

from bench.commands import CommandFailedError
from bench.effort import Effort
from bench.figures import Round
from bench.measures.enqueueing import measure_enqueueing
from bench.measures.latency import measure_latency
from bench.measures.memory import measure_memory
from bench.measures.throughput import measure_naps, measure_noops
from bench.peer import Peer
from bench.stage import Stage, StalledError

Measure = Callable[[Stage, Effort], dict[str, float]]


@frozen
class Step:
    """One thing to measure, of all peers it makes sense for, one right after the other."""

    title: str
    measure: Measure
    fits: Callable[[Peer], bool]


def measure_round(progress: Console, number: int, stages: Sequence[Stage], effort: Effort) -> Round:
    """Measure everything once; what a peer fails at is said and left out."""
    progress.print(f"Round {number}")
    figures: dict[str, dict[str, float]] = {stage.peer.name: {} for stage in stages}
    for step in steps(number):
        for stage in stages:
            if step.fits(stage.peer):
                figures[stage.peer.name] |= _measure(progress, step, stage, effort)
    return figures


def _measure(progress: Console, step: Step, stage: Stage, effort: Effort) -> dict[str, float]:
    try:
        found = step.measure(stage, effort)
    except (StalledError, CommandFailedError) as error:
        progress.print(Text(f"  {step.title}: {stage.peer.title} failed: {error}", "red"))
        return {}
    shown = ", ".join(f"{name} {value:,.1f}" for name, value in found.items())
    progress.print(f"  {step.title}: {stage.peer.title}: {shown}")
    return found


def steps(number: int) -> Iterator[Step]:
    """Yield the steps of a round; the memory jobs take is the same in every round."""
    for concurrency in (1, 10, 100):
        yield Step(
            f"no-op jobs, {concurrency} at once",
            partial(measure_noops, concurrency=concurrency),
            partial(_runs_at, concurrency),
        )
    for mode in ("single", "gathered", "batch"):
        yield Step(f"enqueueing, {mode}", partial(measure_enqueueing, mode=mode), partial(_has_mode, mode))
    yield Step("jobs of 50 ms", measure_naps, lambda _: True)
    yield Step("latency", measure_latency, lambda _: True)
    if number == 1:
        yield Step("memory of jobs", measure_memory, lambda peer: bool(peer.modes))


def _runs_at(concurrency: int, peer: Peer) -> bool:
    return concurrency in peer.concurrencies


def _has_mode(mode: str, peer: Peer) -> bool:
    return mode in peer.modes
