"""What stock RQ runs and keeps in the tests of the queue: importable by its workers."""

from rq import get_current_job


class Unwelcome:
    """A class of a producer's own: a payload that names it is not to be resolved by mediaq."""


def shout(word: str, times: int = 1) -> str:
    return word.upper() * times


def describe() -> dict[str, object]:
    """Say what a running job knows of itself."""
    job = get_current_job()
    assert job is not None
    return {"id": job.id, "meta": job.meta, "timeout": job.timeout}


def fail() -> None:
    raise LookupError("no such object")
