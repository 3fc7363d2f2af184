"""What a user does through the service: send a job, follow it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import httpx

from mediaq.errors import MediaqError
from mediaq.model import JobStatus
from mediaq.pipelines.catalog import PIPELINES

CLOSED = {status.value for status in JobStatus if status.closed}


def _api_options(command: Callable[..., None]) -> Callable[..., None]:
    url = click.option(
        "--api-url", envvar="MEDIAQ_API_URL", required=True, help="The service; MEDIAQ_API_URL."
    )
    token = click.option("--token", envvar="MEDIAQ_TOKEN", required=True, help="Bearer token; MEDIAQ_TOKEN.")
    return url(token(command))


@click.command()
@click.argument("job_type", type=click.Choice(list(PIPELINES)))
@click.argument("request_body", metavar="REQUEST")
@_api_options
def submit(job_type: str, request_body: str, api_url: str, token: str) -> None:
    """Sends a job; REQUEST is its JSON, or - for standard input. Prints the job's id."""
    body = sys.stdin.read() if request_body == "-" else request_body
    with _api(api_url, token) as api:
        print(_checked(api.post(f"/api/queues/{job_type}", content=body))["id"])


@click.command()
@click.argument("job_type", type=click.Choice(list(PIPELINES)))
@click.argument("job_id")
@click.option("--every", type=click.FloatRange(min=0.05), default=0.5, help="Seconds between two looks.")
@_api_options
def watch(job_type: str, job_id: str, every: float, api_url: str, token: str) -> None:
    """Follows a job to its end and prints it; the exit status tells whether it completed."""
    told = None
    with _api(api_url, token) as api:
        while True:
            job = _checked(api.get(f"/api/queues/{job_type}/{job_id}"))
            if (message := f"{job['status']}: {job['progress']['message']}") != told:
                print(message, file=sys.stderr)
                told = message
            if job["status"] in CLOSED:
                break
            time.sleep(every)
    print(json.dumps(job, indent=2))
    sys.exit(job["status"] != JobStatus.COMPLETED)


@contextmanager
def _api(url: str, token: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
            yield client
    except httpx.ConnectError as error:
        raise MediaqError(f"the service cannot be reached: {error}") from error


def _checked(response: httpx.Response) -> dict[str, Any]:
    try:
        content: dict[str, Any] = response.json()
    except ValueError:
        content = {"error": response.reason_phrase}
    if response.is_error:
        raise MediaqError(f"{response.status_code}: {content.get('error')}")
    return content
