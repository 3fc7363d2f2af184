"""rq-dashboard as a WSGI application that reads plain values only, whatever stands in Redis.

Stock rq-dashboard unpickles what it shows, which runs whatever code a pickle names. So its module is loaded
here a second time, for this application alone, with classes of RQ's that resolve no names; who else imports
rq_dashboard in this process has the stock one.
"""

from __future__ import annotations

import importlib.util
import json
import secrets
from types import ModuleType
from typing import Any

import rq_dashboard.web
from flask import Flask, abort, request
from flask.json.provider import DefaultJSONProvider
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import Job
from rq.results import Result
from werkzeug.wrappers import Response

from mediaq.fields import mask
from mediaq.queue.codec import PlainPickle


class PlainOrNot(PlainPickle):
    """Reads plain values; in the place of others it gives a text that says why they are not shown."""

    @staticmethod
    def loads(data: bytes) -> Any:
        """Reads a value to be shown."""
        try:
            return PlainPickle.loads(data)
        except Exception as error:  # noqa: BLE001 - no pickle, or one that would break things, in any way
            return f"(not shown: {error})"


class PlainJob(Job):
    """A job that is read without running anything; its meta, where it is not plain, is kept as it is."""

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - RQ's names
        connection: Redis | None = None,
        serializer: object = None,  # noqa: ARG002
    ) -> None:
        super().__init__(id, connection, serializer=PlainPickle)

    def latest_result(self, timeout: int = 0) -> Result | None:
        """Returns the latest result; where its value is not plain, a text is in its place."""
        return Result.fetch_latest(self, serializer=PlainOrNot, timeout=timeout)

    def get_meta(self, refresh: bool = True) -> dict[str, Any]:  # noqa: ARG002 - RQ reads it again
        """Returns the meta; where it is not plain, what RQ puts in its place."""
        meta: dict[str, Any] = super().get_meta(refresh=False)
        return meta

    def get_call_string(self) -> str | None:
        """Returns the call; where its arguments are not plain, the description."""
        try:
            call: str | None = super().get_call_string()
        except DeserializationError:
            return self.description
        return call


class PlainQueue(Queue):
    """A queue of plain jobs."""

    job_class = PlainJob


class PlainWorker(Worker):
    """A worker as it is shown, with plain jobs."""

    job_class = PlainJob
    queue_class = PlainQueue


class LenientEncoder(json.JSONEncoder):
    """Writes what JSON has no form for (bytes, sets) as Python does."""

    def default(self, value: Any) -> str:  # noqa: D102 - as its base says
        return repr(value)


class LenientProvider(DefaultJSONProvider):
    """Writes JSON for Flask, with what it has no form for as Python writes it."""

    @staticmethod
    def default(value: Any) -> Any:
        """Returns what stands for a value."""
        try:
            return DefaultJSONProvider.default(value)
        except TypeError:
            return repr(value)


def make_dashboard(redis: Redis, url: str) -> Flask:
    """Makes the application.

    Args:
        redis: A client of the server that holds the queues.
        url: Its address, of which the pages show all but the password.
    """
    module = _load_plain(redis)
    app = Flask(module.__name__)
    # Flask's own encoder writes dates, rq-dashboard's results and meta may be anything.
    app.json = LenientProvider(app)
    app.config.update(RQ_DASHBOARD_REDIS_URL=[mask(url)], RQ_DASHBOARD_JSON_ENCODER=LenientEncoder)
    app.redis_conn = redis  # type: ignore[attr-defined]  # where rq-dashboard keeps it
    app.register_blueprint(module.blueprint)
    app.register_error_handler(NoSuchJobError, _say_gone)
    app.register_error_handler(RedisError, _say_away)
    app.before_request(_refuse)
    app.after_request(_restrict_scripts)
    return app


def _load_plain(redis: Redis) -> ModuleType:
    spec = rq_dashboard.web.__spec__
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def requeue_job(job_id: str, connection: Redis) -> Job:
        return PlainJob.fetch(job_id, connection).requeue()

    module.config.serializer = PlainPickle
    module.__dict__.update(Job=PlainJob, Queue=PlainQueue, Worker=PlainWorker, requeue_job=requeue_job)
    # It would open another client for each request.
    module.__dict__["from_url"] = lambda *_, **__: (None, redis)
    return module


def _say_gone(error: Exception) -> tuple[str, int]:  # noqa: ARG001 - the shape of a handler
    return "There is no such job any more.", 404


def _say_away(error: Exception) -> tuple[str, int]:  # noqa: ARG001 - the shape of a handler
    return "Redis cannot be reached: try again later.", 503


def _refuse() -> None:
    # It counts the servers that it is given.
    if (request.view_args or {}).get("instance_number", 0) != 0:
        abort(404)
    # Its pages POST there; a link must not.
    if request.endpoint == "rq_dashboard.requeue_all" and request.method != "POST":
        abort(405)


def _restrict_scripts(response: Response) -> Response:
    """Has the browser run the pages' own scripts alone: they show texts of jobs without escaping them."""
    if response.mimetype == "text/html" and not response.direct_passthrough:
        nonce = secrets.token_urlsafe(16)
        response.set_data(response.get_data().replace(b"<script", f'<script nonce="{nonce}"'.encode()))
        response.headers["Content-Security-Policy"] = (
            # Its templates are compiled by `new Function`.
            f"default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; "
            "style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
            "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
