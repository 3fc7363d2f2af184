"""The routes of queues as a whole: counted, paused, resumed."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import attrs
from starlette.responses import Response

from mediaq.pipelines.catalog import find_pipeline
from mediaq.pipelines.operation import Pipeline
from mediaq.service.answers import answer
from mediaq.service.endpoint import Call
from mediaq.service.problems import Problem


async def get_queues(call: Call) -> Response:
    """Counts the jobs of every queue."""
    queues = call.resources.queues
    counts = await asyncio.gather(*(queue.counts() for queue in queues.values()))
    named = zip(queues, counts, strict=True)
    return answer({"queues": [{"name": name, "counts": attrs.asdict(count)} for name, count in named]})


async def pause_queue(call: Call) -> Response:
    """Lets mediaq's workers take no more of a queue's jobs; what runs goes on. Repeating it is safe."""
    name = find_job_type(call).queue
    await call.resources.queues[name].pause()
    return answer({"name": name, "paused": True})


async def resume_queue(call: Call) -> Response:
    """Lets mediaq's workers take a queue's jobs again; repeating it is safe."""
    name = find_job_type(call).queue
    await call.resources.queues[name].resume()
    return answer({"name": name, "paused": False})


def find_job_type(call: Call) -> Pipeline:
    """Returns the pipeline of the job type that the path names.

    Raises:
        Problem: 404 where there is none.
    """
    job_type = call.path["job_type"]
    if (pipeline := find_pipeline(job_type)) is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no job type {job_type}")
    return pipeline
