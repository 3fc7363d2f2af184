"""Limits of an account: who exceeds its rates is throttled, unbilled, until time has passed."""

import asyncio
import json
from collections.abc import Awaitable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from standin_kit import Aws, Server
from standin_media import film, picture, recording

pytest_plugins = ["standin_fixtures"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def server(server: Server) -> Iterator[Server]:
    """The stand-in, whose limits are AWS's again in the end."""
    yield server
    limit(server)


def limit(server: Server, **limits: Any) -> None:
    server.http.put(f"{server.url}/_standin/limits", json=limits).raise_for_status()


def invoke(aws: Aws, model: str) -> Awaitable[Any]:
    body = json.dumps({"inputText": "hello"})
    return aws.call("bedrock-runtime", "invoke_model", modelId=model, body=body)


def calls_of(operation: str, server: Server, aws: Aws) -> Awaitable[Any]:
    image = {"Bytes": picture("red")}
    match operation:
        case "DetectLabels":
            return aws.call("rekognition", "detect_labels", Image=image)
        case "DetectSentiment":
            return aws.call("comprehend", "detect_sentiment", Text="hello", LanguageCode="en")
        case "GetTranscriptionJob":
            return aws.call("transcribe", "get_transcription_job", TranscriptionJobName="none")
        case _:
            return invoke(aws, "amazon.titan-embed-text-v2:0")


async def error_of(call: Awaitable[Any]) -> tuple[str, int] | None:
    try:
        await call
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    return None


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("DetectLabels", ("ProvisionedThroughputExceededException", 400)),
        ("DetectSentiment", ("ThrottlingException", 400)),
        ("GetTranscriptionJob", ("ThrottlingException", 400)),
        ("InvokeModel", ("ThrottlingException", 429)),
    ],
)
async def test_each_service_throttles_in_its_own_words_and_bills_nothing(
    server: Server, aws: Aws, operation: str, error: tuple[str, int]
) -> None:
    limit(server, rates={operation: 0.01})
    first = await error_of(calls_of(operation, server, aws))
    assert first != error
    assert await error_of(calls_of(operation, server, aws)) == error
    last = server.calls()[-1]
    assert (last["error"], last["http_status"], last["billed"], last["units"]) == (*error, False, "0")


async def test_openai_throttles_in_its_own_words(server: Server) -> None:
    limit(server, rates={"CreateEmbedding": 0.01})
    body = {"model": "text-embedding-3-small", "input": "hello"}
    assert "data" in await server.openai(**body)
    assert (await server.openai(**body))["error"]["code"] == "rate_limit_exceeded"


async def test_a_burst_of_a_seconds_worth_passes_and_then_the_rate(server: Server, aws: Aws) -> None:
    limit(server, rates={"DetectSentiment": 5})
    calls = [calls_of("DetectSentiment", server, aws) for _ in range(20)]
    passed = [error for error in await asyncio.gather(*map(error_of, calls)) if error is None]
    assert 5 <= len(passed) <= 7
    await asyncio.sleep(0.41)
    calls = [calls_of("DetectSentiment", server, aws) for _ in range(5)]
    passed = [error for error in await asyncio.gather(*map(error_of, calls)) if error is None]
    assert 2 <= len(passed) <= 3


async def test_the_burst_can_be_narrowed_to_one_call(server: Server, aws: Aws) -> None:
    limit(server, rates={"DetectSentiment": 5}, burst_seconds=0)
    errors = [await error_of(calls_of("DetectSentiment", server, aws)) for _ in range(2)]
    assert errors == [None, ("ThrottlingException", 400)]


async def test_operations_and_models_have_rates_of_their_own(server: Server, aws: Aws) -> None:
    limit(server, rates={"DetectLabels": 0.01, "InvokeModel": 0.01})
    await calls_of("DetectLabels", server, aws)
    await calls_of("DetectSentiment", server, aws)
    await aws.call("rekognition", "detect_text", Image={"Bytes": picture("red")})
    await invoke(aws, "amazon.titan-embed-text-v2:0")
    await invoke(aws, "amazon.titan-embed-image-v1")
    for model in ("amazon.titan-embed-text-v2:0", "amazon.titan-embed-image-v1"):
        assert await error_of(invoke(aws, model)) == ("ThrottlingException", 429)


async def test_a_throttled_call_uses_up_no_fault(server: Server, aws: Aws) -> None:
    limit(server, rates={"DetectSentiment": 0.01})
    await calls_of("DetectSentiment", server, aws)
    server.fault("DetectSentiment", "error")
    assert await error_of(calls_of("DetectSentiment", server, aws)) == ("ThrottlingException", 400)
    limit(server)
    assert await error_of(calls_of("DetectSentiment", server, aws)) == ("InternalServerError", 500)


async def test_jobs_at_once_can_be_changed_while_it_runs(server: Server, aws: Aws) -> None:
    place = server.put("film.mp4", film("red"))
    server.put("talk.wav", recording())
    limit(server, video_jobs=0, transcription_jobs=0)
    video = aws.call("rekognition", "start_label_detection", Video=place)
    media = {"MediaFileUri": f"s3://{server.bucket}/talk.wav"}
    request = {"TranscriptionJobName": server.bucket, "Media": media, "LanguageCode": "en-US"}
    speech = aws.call("transcribe", "start_transcription_job", **request)
    for call in (video, speech):
        assert await error_of(call) == ("LimitExceededException", 400)
    limit(server)
    await aws.call("rekognition", "start_label_detection", Video=place)


async def test_its_limits_are_those_of_aws_and_no_rates(server: Server) -> None:
    limits = (await server.send("GET", "/_standin/limits")).json()
    assert (limits["video_jobs"], limits["transcription_jobs"], limits["rates"]) == (20, 100, {})


@pytest.mark.parametrize(
    ("limits", "part"),
    [
        ({"rates": {"DetectLables": 5}}, "there is no operation DetectLables"),
        ({"rates": {"DetectLabels": 0}}, "the rate of DetectLabels must be more than 0"),
        ({"rates": {"DetectLabels": "5"}}, "Expected `float`, got `str`"),
        ({"video_jobs": -1}, "'video_jobs' must be >= 0"),
        ({"vidoe_jobs": 1}, "there is no limit vidoe_jobs"),
    ],
)
async def test_what_are_no_limits_is_refused_and_changes_nothing(
    server: Server, limits: dict[str, Any], part: str
) -> None:
    limit(server, rates={"DetectLabels": 7})
    answer = await server.send("PUT", "/_standin/limits", json=limits)
    assert answer.status_code == 400
    assert part in answer.json()["error"]
    assert (await server.send("GET", "/_standin/limits")).json()["rates"] == {"DetectLabels": 7}
