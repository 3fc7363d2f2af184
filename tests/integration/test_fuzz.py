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


def by_tag(operations: list[Operation]) -> dict[str, list[Operation]]:
    """Those of one tag share a service."""
    tags = sorted({tag for one in operations for tag in one.tags or ()})
    return {tag: [one for one in operations if tag in (one.tags or ())] for tag in tags}


ALL = operations()
PUBLIC_PATHS = {page.path for page in PUBLIC}
BY_TAG = by_tag(ALL)
# Public ones take whatever they are sent.
GUARDED_BY_TAG = by_tag([one for one in ALL if one.path not in PUBLIC_PATHS])
# For what is refused all the same, JSON Schema has no words.
UNTOLD = re.compile(
    # To JSON Schema 1.0 is an integer.
    r"Expected `int( \| null)?`, got `float`"
    r"|The region reaches beyond the image"
    r"|Invalid field `languageCode`: \w+ does not support the language"
    r"|cursor: it is not one of this list's"
    # Dates that no calendar has, and periods that end before they begin.
    r"|is no date or time of ISO 8601 since 1970|from: it is after to"
    # What depends on the settings.
    r"|embedding.models in the settings does not allow|webhooks are turned off here"
    r"|it is for rows in JSON; sums and tables are shown whole"
)
FUZZED = settings(
    max_examples=15,
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


@pytest.mark.parametrize("tag", BY_TAG)
async def test_what_the_document_allows_is_answered_as_it_says(tag: str, api: Api) -> None:
    """A request that the schemas allow is taken, whoever calls."""
    url, known = str(api.http.base_url), await make_known(api)

    def fuzz(operation: Operation) -> None:
        @FUZZED
        @given(case=operation.as_strategy(), admin=st.booleans(), is_known=st.booleans())
        def check(case: Case, admin: bool, is_known: bool) -> None:
            if is_known:
                case.path_parameters.update({name: known[name] for name in case.path_parameters})
            for part in (case.query, case.body):
                # Another's is refused, rightly.
                if isinstance(part, dict):
                    part.pop("userId", None)
            headers = api.as_user(USER, admin=admin)
            answer = case.call_and_validate(url, headers=headers, excluded_checks=[positive_data_acceptance])
            assert answer.status_code != 422 or UNTOLD.search(answer.json()["detail"]), answer.text

        check()

    for operation in BY_TAG[tag]:
        await asyncio.to_thread(fuzz, operation)


@pytest.mark.parametrize("tag", GUARDED_BY_TAG)
async def test_what_the_document_does_not_allow_is_refused_as_it_says(tag: str, api: Api) -> None:
    url = str(api.http.base_url)

    def fuzz(operation: Operation) -> None:
        @FUZZED
        @given(case=operation.as_strategy(GenerationMode.NEGATIVE), admin=st.booleans())
        def check(case: Case, admin: bool) -> None:
            case.call_and_validate(url, headers=api.as_user(USER, admin=admin))

        check()

    for operation in GUARDED_BY_TAG[tag]:
        await asyncio.to_thread(fuzz, operation)
