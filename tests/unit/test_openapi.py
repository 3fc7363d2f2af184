"""The OpenAPI document: valid, whole, and as strict as what validates."""

import json
import re
from http import HTTPStatus
from typing import Annotated, Any, ClassVar

import attrs
import msgspec
import openapi_spec_validator
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from mediaq.cli import cli
from mediaq.pipelines import image
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.requests import ObjectKey, request_type
from mediaq.service.app import create_app
from mediaq.service.docs_page import render
from mediaq.service.endpoint import ByJobType, Call, Endpoint, EventStream, NoQuery, Public, Text
from mediaq.service.endpoints import ENDPOINTS, PUBLIC
from mediaq.service.examples import example_request
from mediaq.service.openapi import describe
from mediaq.settings import Settings

DOCUMENT = describe(ENDPOINTS, PUBLIC)
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
EACH = pytest.mark.parametrize(
    "operation", [one for _, one in OPERATIONS], ids=[name for name, _ in OPERATIONS]
)


def fits(value: Any, schema: dict[str, Any], document: dict[str, Any] = DOCUMENT) -> bool:
    whole = {**schema, "components": document["components"]}
    return bool(Draft202012Validator(whole).is_valid(json.loads(json.dumps(value))))


def test_the_document_is_valid() -> None:
    openapi_spec_validator.validate(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_route_of_the_service_is_described_and_nothing_else() -> None:
    """A path of the document may be that of a route for one job type; the way to rq-dashboard is no API."""
    routes = [
        route
        for route in create_app(Settings()).routes
        if not isinstance(route, Mount) and getattr(route, "path", None) != "/rq"
    ]
    served = [
        (method, re.compile(re.sub(r"{\w+(:path)?}", "[^/]+", route.path)))
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    ]
    assert len({id(route) for route in routes}) == len(served)
    described = [tuple(name.split(" ")) for name, _ in OPERATIONS]
    for method, pattern in served:
        assert any(method == verb and pattern.fullmatch(path) for verb, path in described), (method, pattern)
    for verb, path in described:
        assert any(method == verb and pattern.fullmatch(path) for method, pattern in served), (verb, path)


def test_the_mounts_are_known() -> None:
    """What is mounted is no part of the API; what is added to it has a route of the table."""
    mounted = {route.path for route in create_app(Settings()).routes if isinstance(route, Mount)}
    assert mounted <= {"/docs", "/rq"}


def test_every_endpoint_declares_real_statuses_good_ones_as_answers_and_bad_ones_as_problems() -> None:
    for endpoint in ENDPOINTS:
        assert endpoint.answers, endpoint.path
        assert all(200 <= status < 300 for status in endpoint.answers), endpoint.path
        assert all(HTTPStatus(status) >= HTTPStatus.BAD_REQUEST for status in endpoint.problems), (
            endpoint.path
        )


def test_operations_have_ids_of_their_own_and_tags_that_are_told_of() -> None:
    ids = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert {"getJob", "postJobImageProcessing", "postJobEmbeddingGeneration"} < set(ids)
    told = {tag["name"] for tag in DOCUMENT["tags"]}
    assert {tag for _, operation in OPERATIONS for tag in operation["tags"]} == told


@EACH
def test_an_operation_says_what_it_does_and_all_that_it_answers(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    answers = operation["responses"]
    assert operation.get("security") == [] or {"401", "503"} < set(answers)
    for status, answer in answers.items():
        assert answer["description"] == HTTPStatus(int(status)).phrase
        for content in answer.get("content", {}).values():
            assert "example" not in content or fits(content["example"], content["schema"])


@EACH
def test_a_refusal_is_a_problem_of_its_own_status(operation: dict[str, Any]) -> None:
    refusals = {} if operation.get("security") == [] else operation["responses"]
    for status in (status for status in refusals if status >= "4"):
        shown = refusals[status]["content"]["application/problem+json"]
        assert shown["schema"] == {"$ref": "#/components/schemas/ProblemShown"}
        assert shown["example"]["status"] == int(status)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_example_of_a_request_asks_for_all_that_the_pipeline_can_do(name: str) -> None:
    pipeline = PIPELINES[name]
    content = DOCUMENT["paths"][f"/api/queues/{name}"]["post"]["requestBody"]["content"]["application/json"]
    assert fits(content["example"], content["schema"])
    decoded = msgspec.to_builtins(msgspec.convert(content["example"], pipeline.request))
    assert set(pipeline.planned(decoded)) == {operation.name for operation in pipeline.operations}


def test_a_new_operation_is_in_the_document_by_itself() -> None:
    new = attrs.evolve(
        image.OPERATIONS[1], name="recognizeCelebrities", result="celebrities", parameters=None
    )
    operations = (*image.OPERATIONS, new)
    pipeline = attrs.evolve(
        image.IMAGE,
        request=request_type("ImageRequest", operations, ("s3Key", ObjectKey)),
        operations=operations,
    )
    body = ByJobType({pipeline.queue: pipeline.request}, {pipeline.queue: example_request(pipeline)})
    document = describe([attrs.evolve(posting(), body=body)], [])
    content = document["paths"]["/api/queues/image-processing"]["post"]["requestBody"]["content"][
        "application/json"
    ]
    alone = {**content["example"], "operations": {"recognizeCelebrities": True}}
    assert content["example"]["operations"]["recognizeCelebrities"] is True
    assert fits(alone, content["schema"], document)
    assert not fits(alone, content["schema"])


def posting() -> Endpoint:
    return next(endpoint for endpoint in ENDPOINTS if isinstance(endpoint.body, ByJobType))


def test_patterns_are_those_of_ecmascript() -> None:
    assert not re.search(r'"pattern": "[^"]*\\\\[AZ]', json.dumps(DOCUMENT))


class Row(msgspec.Struct, rename="camel"):
    """A row.

    Args:
        cost_center: Whose it is,
            in one word.
        both: Neither.
    """

    rules: ClassVar[dict[str, Any]] = {"minProperties": 1}

    cost_center: str = "none"
    both: Annotated[int, Meta(description="Two things.")] = 2


async def get_rows(call: Call) -> Response:
    """Shows rows.

    Raises:
        Problem: Never.
    """
    return Response(str(call))


async def get_page(request: Request) -> Response:
    """Shows a page."""
    return Response(str(request))


PAGE = Public("/page", get_page, "A page.", {HTTPStatus.OK: Text("text/plain")})


def rows(**changes: Any) -> dict[str, Any]:
    """The document's operation of an endpoint that answers rows, but for some changes."""
    endpoint = Endpoint("GET", "/api/rows", get_rows, "Shows rows.", answers={HTTPStatus.OK: Row})
    document = describe([attrs.evolve(endpoint, **changes)], [PAGE])
    openapi_spec_validator.validate(document)
    assert "/page" in render(document)
    found: dict[str, Any] = {
        **document["paths"]["/api/rows"]["get"],
        "schemas": document["components"]["schemas"],
    }
    return found


def test_a_struct_is_described_by_its_docstring_and_its_rules() -> None:
    schema = rows()["schemas"]["Row"]
    assert schema["description"] == "A row."
    assert schema["minProperties"] == 1
    told = {name: part["description"] for name, part in schema["properties"].items()}
    assert told == {"costCenter": "Whose it is, in one word.", "both": "Two things."}
    assert rows()["description"] == "Shows rows."


def test_an_answer_may_be_events() -> None:
    content = rows(answers={HTTPStatus.OK: EventStream({"row": Row})})["responses"]["200"]["content"]
    assert list(content) == ["text/event-stream"]
    event, data = content["text/event-stream"]["example"].strip().split("\n")
    assert event == "event: row"
    assert json.loads(data.removeprefix("data: ")) == {"costCenter": "marketing", "both": 2}


def test_an_answer_may_be_one_of_several_kinds() -> None:
    content = rows(answers={HTTPStatus.OK: (Row, Text("text/csv"))})["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Row"}
    assert content["text/csv"]["schema"] == {"type": "string"}


def test_an_answer_may_have_no_content_and_headers() -> None:
    sends = {"X-Total": Annotated[int, Meta(ge=0, description="Of all pages.")]}
    answer = rows(answers={HTTPStatus.NO_CONTENT: None}, sends=sends)["responses"]["204"]
    assert "content" not in answer
    assert answer["headers"] == {
        "X-Total": {"description": "Of all pages.", "schema": {"type": "integer", "minimum": 0}}
    }


def test_a_query_and_headers_are_parameters() -> None:
    headers = {"Last-Event-ID": Annotated[str, Meta(max_length=20)]}
    found = {one["name"]: one for one in rows(query=Row, headers=headers)["parameters"]}
    assert found["costCenter"]["in"] == "query"
    assert found["both"]["schema"] == {"type": "integer", "default": 2}
    assert found["Last-Event-ID"]["in"] == "header"
    assert "parameters" not in rows(query=NoQuery) or not rows(query=NoQuery)["parameters"]


def test_a_route_for_admins_says_so_and_refuses_others() -> None:
    described = rows(admin=True, problems=(HTTPStatus.TOO_MANY_REQUESTS,))
    assert described["description"].startswith("For admins only.")
    assert "403" in described["responses"]
    assert "Retry-After" in described["responses"]["429"]["headers"]


def test_the_command_prints_the_document() -> None:
    printed = CliRunner().invoke(cli, ["openapi"], catch_exceptions=False)
    assert json.loads(printed.output) == json.loads(json.dumps(DOCUMENT))
