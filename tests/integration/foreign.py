"""What stock RQ runs and keeps in the tests of the queue: importable by its workers."""

from typing import Any

from rq import get_current_job

from mediaq.errors import DependencyAway

resolved: list[str] = []


def resolve(name: str) -> "Unwelcome":
    resolved.append(name)
    return Unwelcome()


class Unwelcome:
    """A producer's own class; tells when it is resolved, which mediaq never does."""

    def __reduce__(self) -> tuple[Any, ...]:
        return resolve, ("Unwelcome",)


def shout(word: str, times: int = 1) -> str:
    return word.upper() * times


def describe() -> dict[str, object]:
    """Say what a running job knows of itself."""
    job = get_current_job()
    assert job is not None
    return {"id": job.id, "meta": job.meta, "timeout": job.timeout}


def fail() -> None:
    raise LookupError("no such object")


def miss_postgres() -> None:
    raise DependencyAway("Postgres stayed away for 150 s")


class Loud(str):
    """A producer's own kind of text."""

    __slots__ = ()


def give(value: Any) -> Any:
    return value


calls: list[str] = []


def note(word: str) -> None:
    """Note that it was called."""
    calls.append(word)


# How often a job still fails.
failures: dict[str, int] = {}


def fail_some_times(name: str) -> str:
    failures[name] -= 1
    if failures[name] >= 0:
        raise LookupError("not yet")
    return "at last"
