"""When what goes wrong: drawn from the seed alone, so that a run can be repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from random import Random

from havoc.faults import Fault, Kind

# The share of the time before the first fault, and before the last one: jobs run before, during and after.
FIRST, LAST = 0.08, 0.85
DEPLOY = "deploy"


def source(seed: int, what: str) -> Random:
    """Return the source of chance for a purpose: none depends on how much another one draws."""
    return Random(f"{seed} {what}")  # noqa: S311 -- it is to be repeatable


def draw_faults(
    seed: int, count: int, seconds: float, kinds: Sequence[Kind], roles: Mapping[str, Sequence[str]]
) -> list[Fault]:
    """Return faults at jittered times, the kinds in a random order that repeats none before all have been.

    Args:
        seed: The seed.
        count: How many.
        seconds: Over how much time.
        kinds: Of which kinds.
        roles: The processes, by what they are.
    """
    chance = source(seed, "faults")
    share = (LAST - FIRST) * seconds / max(count, 1)
    chosen = islice(_deal(kinds, chance), count)
    times = [FIRST * seconds + (number + chance.random()) * share for number in range(count)]
    return [_draw(kind, at, roles, chance) for kind, at in zip(chosen, times, strict=True)]


def draw_deploys(every: float, seconds: float, workers: Sequence[str]) -> list[Fault]:
    """Return the times at which all workers are asked to stop; none where `every` is 0."""
    count = int(LAST * seconds / every) if every else 0
    return [Fault(DEPLOY, every * number, tuple(workers)) for number in range(1, count + 1)]


def _deal(kinds: Sequence[Kind], chance: Random) -> Iterator[Kind]:
    while True:
        yield from chance.sample(kinds, len(kinds))


def _draw(kind: Kind, at: float, roles: Mapping[str, Sequence[str]], chance: Random) -> Fault:
    targets = (chance.choice(roles[kind.role]),) if kind.role else ()
    return Fault(
        kind=kind.name,
        at=round(at, 2),
        targets=targets,
        seconds=round(chance.uniform(*kind.seconds), 1),
        calls=chance.randint(*kind.calls),
    )
