"""The service answers what its document allows, and what it does not, as the document says."""

import asyncio
import re

import pytest
import schemathesis
from house import USER, Api
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from mediaq.service.endpoints import ENDPOINTS, PUBLIC
from mediaq.service.openapi import describe

OPERATIONS = [
    found.ok() for found in schemathesis.openapi.from_dict(describe(ENDPOINTS, PUBLIC)).get_all_operations()
]
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


def is_open(operation: schemathesis.APIOperation) -> bool:  # type: ignore[type-arg] - generic in its own code alone
    return operation.path in {page.path for page in PUBLIC}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
async def test_what_the_document_allows_is_answered_as_it_says(
    operation: schemathesis.APIOperation,  # type: ignore[type-arg]
    api: Api,
) -> None:
    """A body that the schema allows is taken, whoever calls."""
    url = str(api.http.base_url)

    @FUZZED
    @given(case=operation.as_strategy(), admin=st.booleans())
    def check(case: Case, admin: bool) -> None:
        if isinstance(case.body, dict):
            # Another's is refused, rightly.
            case.body.pop("userId", None)
        answer = case.call_and_validate(
            url, headers=api.as_user(USER, admin=admin), excluded_checks=[positive_data_acceptance]
        )
        assert answer.status_code != 422 or UNTOLD.search(answer.json()["detail"]), answer.text

    await asyncio.to_thread(check)


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if not is_open(one)], ids=lambda one: one.label
)
async def test_what_the_document_does_not_allow_is_refused_as_it_says(
    operation: schemathesis.APIOperation,  # type: ignore[type-arg]
    api: Api,
) -> None:
    url = str(api.http.base_url)

    @FUZZED
    @given(case=operation.as_strategy(GenerationMode.NEGATIVE), admin=st.booleans())
    def check(case: Case, admin: bool) -> None:
        case.call_and_validate(url, headers=api.as_user(USER, admin=admin))

    await asyncio.to_thread(check)
