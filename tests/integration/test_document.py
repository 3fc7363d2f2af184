"""The document as the service serves it, and the page that is made of it: from the service alone."""

import re
from typing import Any
from urllib.parse import urljoin

import pytest
from house import USER, Api
from jsonschema import Draft202012Validator
from test_bad_input import REFUSED

from mediaq.service.endpoints import ENDPOINTS, PUBLIC
from mediaq.service.openapi import describe

DOCUMENT = describe(ENDPOINTS, PUBLIC)
# Of what the service refuses: JSON for a job type that there is, but for what a schema has no words for.
BODIES = {
    case: (job_type, body)
    for case, (job_type, body, *_) in REFUSED.items()
    if f"/api/queues/{job_type}" in DOCUMENT["paths"]
    and not isinstance(body, bytes)
    and case not in ("a language that is not supported", "metadata nested too deeply")
}


async def test_the_document_is_served_to_everybody(api: Api) -> None:
    answer = await api.http.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == describe(ENDPOINTS, PUBLIC)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_who_has_it_already_is_not_sent_it_again(path: str, api: Api) -> None:
    first = await api.http.get(path)
    tag = first.headers["ETag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        again = await api.http.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert (await api.http.get(path, headers={"If-None-Match": '"other"'})).content == first.content


async def test_the_page_needs_nothing_but_the_service(api: Api) -> None:
    page = await api.http.get("/docs")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    links = set(re.findall(r'(?:href|src)="([^"#]+)"', page.text)) - {"data:,"}
    assert links == {"docs/docs.css", "docs/docs.js", "openapi.json"}
    texts = [page.text]
    for link in links:
        found = await api.http.get(urljoin(str(page.url), link))
        assert found.status_code == 200
        texts.append(found.text)
        kind = {"css": "text/css", "js": "text/javascript", "json": "application/json"}[
            link.rpartition(".")[2]
        ]
        assert found.headers["Content-Type"].partition(";")[0] == kind
    assert not re.search(r"(https?:)?//[a-z0-9]+\.", "".join(texts[:1]))
    assert not any("://" in text or "@import" in text for text in texts)
    # Nothing inline, which the policy would forbid.
    assert not re.search(r"<style|<script>| style=| on[a-z]+=", page.text)


async def test_the_page_shows_every_operation_and_every_schema(api: Api) -> None:
    page, document = (await api.http.get("/docs")).text, describe(ENDPOINTS, PUBLIC)
    ids = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    for shown in (*ids, *document["components"]["schemas"]):
        assert page.count(f' id="{shown}"') == 1, shown
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r' id="([^"]+)"', page))


async def test_a_job_that_is_run_again_is_told_of_as_an_accepted_one(api: Api) -> None:
    body = {"mediaItemId": "m", "s3Key": "none", "operations": {"detectLabels": True}}
    job = await api.run("image-processing", body)
    assert job["status"] == "failed"
    again = await api.http.post(f"{job['links']['self']}/retry", headers=api.as_user(USER))
    schema = {"$ref": "#/components/schemas/Accepted", "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(again.json())


@pytest.mark.parametrize(("job_type", "body"), BODIES.values(), ids=BODIES)
def test_what_the_service_refuses_the_schema_refuses(job_type: str, body: Any) -> None:
    content = DOCUMENT["paths"][f"/api/queues/{job_type}"]["post"]["requestBody"]["content"]
    schema = {**content["application/json"]["schema"], "components": DOCUMENT["components"]}
    assert not Draft202012Validator(schema).is_valid(body)
