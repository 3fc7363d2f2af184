"""The service answers what its document allows, and what it does not, as the document says."""

import asyncio
import re
from typing import Any

import pytest
import schemathesis
from house import USER, Api
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from mediaq.service.endpoints import ENDPOINTS, PUBLIC
from mediaq.service.openapi import describe

Operation = schemathesis.APIOperation[Any, Any, Any, Any]
Case = schemathesis.Case[Any]


def operations() -> list[Operation]:
    """All operations of the document whose answers end."""
    schema = schemathesis.openapi.from_dict(describe(ENDPOINTS, PUBLIC))
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return [one for one in found if "text/event-stream" not in str(one.definition.raw["responses"])]


OPERATIONS = operations()
GUARDED = [one for one in OPERATIONS if one.path not in {page.path for page in PUBLIC}]
# For what is refused all the same, JSON Schema has no words.
UNTOLD = re.compile(
    # To JSON Schema 1.0 is an integer.
    r"Expected `int( \| null)?`, got `float`"
    r"|The region reaches beyond the image"
    r"|Invalid field `languageCode`: \w+ does not support the language"
)
FUZZED = settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


TEXT = "A day by the sea."


async def make_known(api: Api) -> dict[str, str]:
    """Has something there that a path may be of: a job that has run, and its media item."""
    request = {"mediaItemId": "known", "contentType": "text", "content": TEXT}
    job = await api.run("embedding-generation", request)
    return {"jobType": job["jobType"], "jobId": job["id"], "mediaItemId": "known"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
async def test_what_the_document_allows_is_answered_as_it_says(operation: Operation, api: Api) -> None:
    """A body that the schema allows is taken, whoever calls."""
    url, known = str(api.http.base_url), await make_known(api) if "{" in operation.path else {}

    @FUZZED
    @given(case=operation.as_strategy(), admin=st.booleans(), is_known=st.booleans())
    def check(case: Case, admin: bool, is_known: bool) -> None:
        if is_known:
            case.path_parameters.update({name: known[name] for name in case.path_parameters})
        if isinstance(case.body, dict):
            # Another's is refused, rightly.
            case.body.pop("userId", None)
        headers = api.as_user(USER, admin=admin)
        answer = case.call_and_validate(url, headers=headers, excluded_checks=[positive_data_acceptance])
        assert answer.status_code != 422 or UNTOLD.search(answer.json()["detail"]), answer.text

    await asyncio.to_thread(check)


@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.label)
async def test_what_the_document_does_not_allow_is_refused_as_it_says(operation: Operation, api: Api) -> None:
    url = str(api.http.base_url)

    @FUZZED
    @given(case=operation.as_strategy(GenerationMode.NEGATIVE), admin=st.booleans())
    def check(case: Case, admin: bool) -> None:
        case.call_and_validate(url, headers=api.as_user(USER, admin=admin))

    await asyncio.to_thread(check)
