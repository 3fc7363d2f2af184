"""What holds for every route of the table, those to come included."""

import re
from typing import Any

import httpx
from house import USER, Api, token_for

from mediaq.service.endpoint import Endpoint
from mediaq.service.endpoints import ENDPOINTS, PUBLIC

# A path of each route, for something that there is not.
SAMPLES = {"job_type": "text-analysis", "job_id": "none", "media_item": "none"}


def path_of(endpoint: Endpoint) -> str:
    return re.sub(r"{(\w+)(?::path)?}", lambda found: SAMPLES[found[1]], endpoint.path)


async def refusal(api: Api, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """The status and, where it is one, the problem; what does not end is not read."""
    async with api.http.stream(method, path, headers=headers) as answer:
        if answer.headers.get("Content-Type") != "application/problem+json":
            return answer.status_code, {}
        return answer.status_code, dict(httpx.Response(200, content=await answer.aread()).json())


BAD_TOKENS = {
    "none": {},
    "a scheme alone": {"Authorization": "Bearer"},
    "garbage": {"Authorization": "Bearer garbage"},
    "three parts of garbage": {"Authorization": "Bearer a.b.c"},
    "another scheme": {"Authorization": "Basic dXNlcjpwYXNz"},
    "another's secret": {
        "Authorization": f"Bearer {token_for(USER, secret='of somebody else, long enough too')}"
    },
    "an expired one": {"Authorization": f"Bearer {token_for(USER, exp=1)}"},
}


async def test_without_a_good_token_nobody_is_let_in(api: Api) -> None:
    for endpoint in ENDPOINTS:
        for what, headers in BAD_TOKENS.items():
            said = f"{endpoint.method} {endpoint.path} with {what}"
            async with api.http.stream(endpoint.method, path_of(endpoint), headers=headers) as answer:
                assert answer.status_code == 401, said
                assert answer.headers["Content-Type"] == "application/problem+json", said
                assert answer.headers["WWW-Authenticate"].startswith("Bearer"), said


async def test_users_are_refused_where_only_admins_are_let_in_and_nowhere_else(api: Api) -> None:
    refused = (403, "this is for admins only")
    for endpoint in ENDPOINTS:
        for admin in (False, True):
            headers = api.as_user(USER, admin=admin)
            status, problem = await refusal(api, endpoint.method, path_of(endpoint), headers)
            was_refused = (status, problem.get("detail")) == refused
            assert was_refused == (endpoint.admin and not admin), f"{endpoint.method} {endpoint.path}"


async def test_a_query_that_a_route_does_not_take_is_refused_with_its_name(api: Api) -> None:
    headers = api.as_user(USER, admin=True)
    for endpoint in ENDPOINTS:
        path = f"{path_of(endpoint)}?nonsense=1"
        status, problem = await refusal(api, endpoint.method, path, headers)
        assert (status, problem.get("field")) == (422, "nonsense"), f"{endpoint.method} {path}"


async def test_a_wrong_method_is_told_the_right_ones(api: Api) -> None:
    """All of them, and no method of a route that the path only looks like: batch is no job's id."""
    taken: dict[str, set[str]] = {page.path: {"GET"} for page in PUBLIC}
    for endpoint in ENDPOINTS:
        taken.setdefault(path_of(endpoint), set()).add(endpoint.method)
    for path, methods in taken.items():
        for wrong in ("PUT", "OPTIONS", "BREW"):
            answer = await api.http.request(wrong, path)
            assert answer.status_code == 405, f"{wrong} {path}"
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert set(answer.headers["Allow"].split(", ")) - {"HEAD"} == methods, path
            assert f"{wrong} is not for this path" in answer.json()["error"]


async def test_a_wrong_method_for_a_file_of_the_page_is_told_so(api: Api) -> None:
    for path in ("/docs/docs.css", "/docs/none"):
        answer = await api.http.post(path)
        assert answer.status_code == 405, path
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Allow"] == "GET, HEAD"


async def test_head_answers_as_get_without_content(api: Api) -> None:
    for path in ("/healthz", "/openapi.json", "/docs", "/api/queues"):
        head = await api.http.head(path, headers=api.as_user(USER))
        assert (head.status_code, head.content) == (200, b""), path


async def test_a_path_that_there_is_not_is_unknown_and_leads_nowhere(api: Api) -> None:
    for path in ("/api/queues/", "/docs/", "/docs/none.css", "/docs/%2e%2e/endpoint.py", "/none", "//"):
        answer = await api.http.get(path, headers=api.as_user(USER))
        assert answer.status_code == 404, path
        assert answer.headers["Content-Type"] == "application/problem+json", path


ODD = {
    "NUL in a media item": ("/api/media/a%00b/similar", 404),
    "no UTF-8 in a media item": ("/api/media/%ff%fe/similar", 404),
    "a lone surrogate in a media item": ("/api/media/%ed%a0%80/similar", 404),
    "a media item of 8,000 characters": (f"/api/media/{'m' * 8000}/similar", 404),
    "slashes in a media item": ("/api/media/a%2Fb//c/similar", 404),
    "NUL in a job id": ("/api/queues/text-analysis/%00", 404),
    "no UTF-8 in a job id": ("/api/queues/text-analysis/%ff", 404),
    "NUL in a job type": ("/api/queues/%00/none", 404),
    "NUL in a query": ("/api/media/m/similar?model=%00", 422),
    "no UTF-8 in a query": ("/api/media/m/similar?model=%ff", 404),
    "NUL in a query's name": ("/api/queues?%00=1", 422),
    "no number": ("/api/media/m/similar?limit=ten", 422),
    "a huge number": (f"/api/media/m/similar?limit={'9' * 5000}", 422),
    "a number beyond all floats": ("/api/media/m/similar?limit=1e999", 422),
    "no finite number": ("/api/media/m/similar?limit=nan", 422),
    "a negative number": ("/api/media/m/similar?limit=-1", 422),
}


async def test_an_odd_request_is_answered_with_a_problem(api: Api) -> None:
    for what, (path, status) in ODD.items():
        answer = await api.http.get(path, headers=api.as_user(USER))
        assert answer.status_code == status, f"{what}: {answer.text}"
        assert answer.headers["Content-Type"] == "application/problem+json", what


async def test_a_body_is_read_as_json_whatever_it_is_called(api: Api) -> None:
    body = b'{"mediaItemId": "m", "text": "A day.", "operations": {"detectLanguage": true}}'
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense"):
        answer = await api.post("text-analysis", body, **{"Content-Type": kind})
        assert answer.status_code == 202, f"{kind}: {answer.text}"
