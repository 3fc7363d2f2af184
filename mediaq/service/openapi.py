"""The OpenAPI document, made from what the service goes by: its routes, and the types that validate."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any

import msgspec
from attrs import frozen
from msgspec import Meta

from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.requests import Name
from mediaq.service.answers import camel
from mediaq.service.auth import session_cookie
from mediaq.service.csrf import HEADERS as CSRF_HEADERS
from mediaq.service.csrf import SAFE_METHODS
from mediaq.service.endpoint import ByJobType, Endpoint, EventStream, Public, Text
from mediaq.service.examples import example, example_problem
from mediaq.service.schemas import describe_types, split_docstring
from mediaq.service.shapes import ProblemShown
from mediaq.settings import Auth

JSON, PROBLEM, EVENTS = "application/json", "application/problem+json", "text/event-stream"
ABOUT = """Takes uploaded media through AWS analysis. A job is posted to the queue of its type and kept,
whatever dies; its state, progress, results and cost are read back. Names are in camelCase, times in
milliseconds since the epoch, money in US dollars. A body is read as JSON, whatever its Content-Type says.
Errors are problem details of RFC 9457; `error` says what was wrong and what to do, `field` where."""
SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "HS256 by the shared secret, or by the published keys; `sub` is the user.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": session_cookie(Auth()),
        "description": "Of a browser that has signed in by `POST /api/session`, with the bearer token.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": CSRF_HEADERS[0],
        "description": "Beside the session, where something is changed: what `POST /api/session` answered.",
    },
}
Security = list[dict[str, list[str]]]
READING: Security = [{"bearer": []}, {"session": []}]
CHANGING: Security = [{"bearer": []}, {"session": [], "csrf": []}]
# What stands for a parameter of a path: its name in the document, and its type.
PATH_PARAMETERS: Mapping[str, tuple[str, Any]] = {
    "job_type": (
        "jobType",
        Annotated[str, Meta(description="The queue's name.", extra_json_schema={"enum": list(PIPELINES)})],
    ),
    "job_id": (
        "jobId",
        Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]+\Z", description="As the POST answered it.")],
    ),
    "media_item": ("mediaItemId", Annotated[Name, Meta(description="The media item.")]),
}
RETRY_AFTER = {"Retry-After": Annotated[int, Meta(ge=0, description="Seconds to wait.")]}
PROBLEM_HEADERS: Mapping[HTTPStatus, Mapping[str, Any]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": str},
    HTTPStatus.TOO_MANY_REQUESTS: RETRY_AFTER,
    HTTPStatus.SERVICE_UNAVAILABLE: RETRY_AFTER,
    HTTPStatus.GATEWAY_TIMEOUT: RETRY_AFTER,
}
TAGS = {
    "queues": "Jobs: accepted, shown, and how they stand in their queues.",
    "jobs": "Jobs of all queues: found again, and run again.",
    "media": "Media items, and what is known of them.",
    "costs": "What was billed, or may have been.",
    "session": "Browsers, which sign in with a token and go on with a cookie.",
    "service": "The service itself; for everybody.",
}


def describe(endpoints: Sequence[Endpoint], public: Sequence[Public]) -> dict[str, Any]:
    """Makes the document.

    Args:
        endpoints: The routes for callers who are known.
        public: The routes for everybody.
    """
    kinds = Kinds(list(_types(endpoints, public)))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        for path, body in _variants(endpoint):
            paths.setdefault(path, {})[endpoint.method.lower()] = _guarded(endpoint, path, body, kinds)
    for page in public:
        paths.setdefault(page.path, {})["get"] = _open(page, kinds)
    used = {tag for path in paths.values() for operation in path.values() for tag in operation["tags"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mediaq",
            "version": version("mediaq"),
            "description": " ".join(ABOUT.split()),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": READING,
        "tags": [{"name": tag, "description": TAGS.get(tag, "")} for tag in sorted(used, key=_place)],
        "paths": paths,
        "components": {"schemas": kinds.components, "securitySchemes": SECURITY},
    }


def _place(tag: str) -> tuple[int, str]:
    return (list(TAGS).index(tag) if tag in TAGS else len(TAGS) - 1, tag)


class Kinds:
    """The schemas of all types that the document speaks of; two equal types have one.

    Args:
        types: The types.
    """

    def __init__(self, types: Sequence[Any]) -> None:
        schemas, self.components = describe_types(types)
        self._schemas = list(zip(types, schemas, strict=True))

    def schema(self, kind: Any) -> dict[str, Any]:
        """Returns the schema of one of them."""
        return next(schema for known, schema in self._schemas if known == kind)

    def media(self, kind: Any) -> dict[str, Any]:
        """Returns content of that type, with an example."""
        schema = self.schema(kind)
        return {"schema": schema, "example": example(schema, self.components)}


def _types(endpoints: Sequence[Endpoint], public: Sequence[Public]) -> Iterator[Any]:
    yield from (ProblemShown, *(kind for _, kind in PATH_PARAMETERS.values()))
    for headers in PROBLEM_HEADERS.values():
        yield from headers.values()
    for endpoint in endpoints:
        yield from (endpoint.query, *endpoint.headers.values(), *endpoint.sends.values())
        yield from (body.kind for _, body in _variants(endpoint) if body)
    for one in (*(endpoint.answers for endpoint in endpoints), *(page.answers for page in public)):
        for content in one.values():
            yield from (kind for way in _ways(content) for kind in _types_of(way))


def _types_of(content: Any) -> tuple[Any, ...]:
    match content:
        case EventStream(events=events):
            return tuple(events.values())
        case Text():
            return ()
        case _:
            return (content,)


def _ways(content: Any) -> tuple[Any, ...]:
    if content is None:
        return ()
    return content if isinstance(content, tuple) else (content,)


@frozen
class Body:
    """A body of one type: of the job type, or of all."""

    kind: Any
    job_type: str = ""
    example: Any = None


def _variants(endpoint: Endpoint) -> Iterator[tuple[str, Body | None]]:
    """Yields an endpoint's paths and bodies: a path a job type where that decides what the body is."""
    match endpoint.body:
        case ByJobType(types=types, examples=examples):
            for job_type, kind in types.items():
                path = endpoint.path.replace("{job_type}", job_type)
                yield _path(path), Body(kind, job_type, examples[job_type])
        case None:
            yield _path(endpoint.path), None
        case kind:
            yield _path(endpoint.path), Body(kind)


def _path(pattern: str) -> str:
    return re.sub(r"{(\w+)(?::\w+)?}", lambda found: f"{{{PATH_PARAMETERS[found[1]][0]}}}", pattern)


def _guarded(endpoint: Endpoint, path: str, body: Body | None, kinds: Kinds) -> dict[str, Any]:
    refusals = [status for status in endpoint.refusals if not (body and body.job_type and status == 404)]
    name = camel(endpoint.handle.__name__)
    described: dict[str, Any] = {
        "operationId": name + (_pascal(body.job_type) if body else ""),
        "tags": [path.split("/")[2]],
        "summary": _summary(endpoint, body),
        "description": _description(endpoint),
        "security": READING if endpoint.method in SAFE_METHODS else CHANGING,
        "parameters": [
            *_path_parameters(path, kinds),
            *_query_parameters(endpoint.query, kinds),
            *(
                {"name": name, "in": "header", **_said(kinds.schema(kind))}
                for name, kind in endpoint.headers.items()
            ),
        ],
        "responses": {
            **_answers(endpoint.answers, kinds, endpoint.sends),
            **{str(int(status)): _problem(status, kinds) for status in refusals},
        },
    }
    if body:
        content = kinds.media(body.kind)
        if body.example is not None:
            content["example"] = body.example
        described["requestBody"] = {"required": True, "content": {JSON: content}}
    return described


def _open(page: Public, kinds: Kinds) -> dict[str, Any]:
    return {
        "operationId": camel(page.handle.__name__),
        "tags": ["service"],
        "summary": page.summary,
        "description": split_docstring(page.handle.__doc__ or "")[0],
        "security": READING if HTTPStatus.UNAUTHORIZED in page.problems else [],
        "responses": {
            **_answers(page.answers, kinds, {}),
            **{str(int(status)): _problem(status, kinds) for status in page.problems},
        },
    }


def _summary(endpoint: Endpoint, body: Body | None) -> str:
    return (
        f"{endpoint.summary.removesuffix('.')}: {body.job_type}."
        if body and body.job_type
        else endpoint.summary
    )


def _description(endpoint: Endpoint) -> str:
    text = split_docstring(endpoint.handle.__doc__ or "")[0]
    return f"For admins only. {text}".strip() if endpoint.admin else text


def _path_parameters(path: str, kinds: Kinds) -> Iterator[dict[str, Any]]:
    for name, kind in PATH_PARAMETERS.values():
        if f"{{{name}}}" in path:
            yield {"name": name, "in": "path", "required": True, **_said(kinds.schema(kind))}


def _query_parameters(query: type, kinds: Kinds) -> Iterator[dict[str, Any]]:
    schema = kinds.components[query.__name__]
    for name, part in schema["properties"].items():
        yield {"name": name, "in": "query", "required": name in schema["required"], **_said(part)}


def _said(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a schema with its description beside it, where OpenAPI has that of parameters and headers."""
    rest = {name: value for name, value in schema.items() if name != "description"}
    return {"description": schema.get("description", ""), "schema": rest}


def _answers(answers: Mapping[HTTPStatus, Any], kinds: Kinds, sends: Mapping[str, Any]) -> dict[str, Any]:
    headers = {name: _said(kinds.schema(kind)) for name, kind in sends.items()}
    described: dict[str, Any] = {}
    for status, content in answers.items():
        answer: dict[str, Any] = {"description": status.phrase}
        if ways := _ways(content):
            answer["content"] = dict(_content(way, kinds) for way in ways)
        if headers:
            answer["headers"] = headers
        described[str(int(status))] = answer
    return described


def _content(content: Any, kinds: Kinds) -> tuple[str, dict[str, Any]]:
    match content:
        case EventStream(events=events):
            return EVENTS, {"schema": {"type": "string"}, "example": _events(events, kinds)}
        case Text(media_type=media_type):
            return media_type, {"schema": {"type": "string"}}
        case kind:
            return JSON, kinds.media(kind)


def _events(events: Mapping[str, Any], kinds: Kinds) -> str:
    told = ((str(name), kinds.media(kind)["example"]) for name, kind in events.items())
    return "".join(f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n" for name, data in told)


def _problem(status: HTTPStatus, kinds: Kinds) -> dict[str, Any]:
    content = {"schema": kinds.schema(ProblemShown), "example": example_problem(status)}
    headers = {name: _said(kinds.schema(kind)) for name, kind in PROBLEM_HEADERS.get(status, {}).items()}
    return {
        "description": status.phrase,
        "content": {PROBLEM: content},
        **({"headers": headers} if headers else {}),
    }


def _pascal(job_type: str) -> str:
    return "".join(map(str.capitalize, job_type.split("-")))
