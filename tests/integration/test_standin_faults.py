"""Faults on demand: what the client sees of each, and what is billed all the same."""

import asyncio
import json
import time
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError
from standin_kit import Aws, Server, labelled, transcribed
from standin_media import film, picture, recording

pytest_plugins = ["standin_fixtures"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

CUT = (ConnectionClosedError, EndpointConnectionError)


def labels(aws: Aws) -> Awaitable[dict[str, Any]]:
    return aws.call("rekognition", "detect_labels", Image={"Bytes": picture("red")})


def sentiment(aws: Aws) -> Awaitable[dict[str, Any]]:
    return aws.call("comprehend", "detect_sentiment", Text="hello", LanguageCode="en")


def embedding(aws: Aws) -> Awaitable[dict[str, Any]]:
    body = json.dumps({"inputText": "hello"})
    return aws.call("bedrock-runtime", "invoke_model", modelId="amazon.titan-embed-text-v2:0", body=body)


async def error_of(call: Awaitable[Any]) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        await call
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"kind": "throttle"}, ("ThrottlingException", 400)),
        (
            {"kind": "throttle", "code": "ProvisionedThroughputExceededException"},
            ("ProvisionedThroughputExceededException", 400),
        ),
        ({"kind": "error"}, ("InternalServerError", 500)),
        ({"kind": "error", "code": "AccessDeniedException", "status": 403}, ("AccessDeniedException", 403)),
        ({"kind": "unavailable"}, ("ServiceUnavailableException", 503)),
        ({"kind": "limit"}, ("LimitExceededException", 400)),
    ],
)
async def test_errors_last_as_many_calls_as_asked(
    server: Server, aws: Aws, rule: dict[str, Any], error: tuple[str, int]
) -> None:
    server.fault("DetectLabels", times=2, **rule)
    await sentiment(aws)
    assert await error_of(labels(aws)) == error
    assert await error_of(labels(aws)) == error
    await labels(aws)
    found = [(call["error"], call["http_status"], call["billed"]) for call in server.calls()]
    assert found == [(None, 200, True), (*error, False), (*error, False), (None, 200, True)]


async def test_bedrock_and_openai_throttle_in_their_own_way(server: Server, aws: Aws) -> None:
    server.fault("*", "throttle", times=2)
    assert await error_of(embedding(aws)) == ("ThrottlingException", 429)
    answer = await server.openai(model="text-embedding-3-small", input="hello")
    assert answer["error"]["type"] == "rate_limit_exceeded"
    assert server.bill() == []


async def test_a_fault_without_times_strikes_until_it_is_cleared(server: Server, aws: Aws) -> None:
    server.fault("*", "unavailable", times=None)
    for call in (labels, sentiment, embedding) * 2:
        assert (await error_of(call(aws)))[1] == 503
    [rule] = (await server.send("GET", "/_standin/faults")).json()["faults"]
    assert (rule["operation"], rule["kind"], rule["times"]) == ("*", "unavailable", None)
    assert (await server.send("DELETE", "/_standin/faults")).status_code == 204
    await labels(aws)


async def test_latency_delays_and_stacks_with_another_fault(server: Server, aws: Aws) -> None:
    server.fault("DetectSentiment", "latency", seconds=0.2, times=2)
    server.fault("DetectSentiment", "throttle")
    for answer in (error_of(sentiment(aws)), sentiment(aws)):
        began = time.monotonic()
        await answer
        assert time.monotonic() - began >= 0.2
    assert len(server.bill()) == 1


async def test_latency_holds_up_nobody_else(server: Server, aws: Aws) -> None:
    server.fault("DetectSentiment", "latency", seconds=1)
    order = []

    async def note(name: str, call: Awaitable[Any]) -> None:
        await call
        order.append(name)

    await asyncio.gather(note("slow", sentiment(aws)), note("quick", labels(aws)))
    assert order == ["quick", "slow"]


@pytest.mark.parametrize("call", [labels, sentiment, embedding])
async def test_drop_cuts_the_connection_before_the_work(server: Server, aws: Aws, call: Any) -> None:
    server.fault("*", "drop")
    with pytest.raises(CUT):
        await call(aws)
    assert server.calls() == []
    await call(aws)


@pytest.mark.parametrize("call", [labels, sentiment, embedding])
async def test_drop_after_cuts_the_connection_after_the_bill(server: Server, aws: Aws, call: Any) -> None:
    server.fault("*", "drop-after")
    with pytest.raises(CUT):
        await call(aws)
    assert [line["billed"] for line in server.calls()] == [True]


async def test_the_client_sees_a_closed_connection_not_an_answer(server: Server) -> None:
    server.fault("*", "drop")
    async with httpx.AsyncClient() as http:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await http.post(
                f"{server.url}/model/amazon.titan-embed-text-v2:0/invoke", json={"inputText": "a"}
            )


async def test_a_start_whose_answer_was_lost_runs_and_is_adopted(server: Server, aws: Aws) -> None:
    server.fault("StartLabelDetection", "drop-after")
    place = server.put("film.mp4", film("red"))
    request = {"Video": place, "ClientRequestToken": server.bucket}
    with pytest.raises(CUT):
        await aws.call("rekognition", "start_label_detection", **request)
    job = (await aws.call("rekognition", "start_label_detection", **request))["JobId"]
    await labelled(aws, job)
    assert len(server.bill()) == 1


async def test_fail_job_ends_the_next_job_only(server: Server, aws: Aws) -> None:
    server.fault("*", "fail-job", times=2)
    await labels(aws)
    place = server.put("film.mp4", film("red"))
    statuses = []
    for _ in range(2):
        job = (await aws.call("rekognition", "start_label_detection", Video=place))["JobId"]
        statuses.append((await labelled(aws, job))["JobStatus"])
        server.put("talk.wav", recording())
        name = f"{server.bucket}-{len(statuses)}"
        media = {"MediaFileUri": f"s3://{server.bucket}/talk.wav"}
        request = {"TranscriptionJobName": name, "Media": media, "LanguageCode": "en-US"}
        await aws.call("transcribe", "start_transcription_job", **request)
        ended = await transcribed(aws, name)
        statuses.append(ended["TranscriptionJobStatus"])
    assert statuses == ["FAILED", "FAILED", "SUCCEEDED", "COMPLETED"]
    assert [call["billed"] for call in server.calls()] == [True, False, False, True, True]


async def test_one_fault_is_taken_back_by_its_id(server: Server, aws: Aws) -> None:
    server.fault("*", "throttle", id="first")
    server.fault("*", "error", id="second")
    assert (await server.send("DELETE", "/_standin/faults/first")).status_code == 204
    assert await error_of(labels(aws)) == ("InternalServerError", 500)
    await labels(aws)


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ({"operation": "*", "kind": "explode"}, "Invalid enum value 'explode'"),
        ({"kind": "drop"}, "missing required field `operation`"),
        ({"operation": "*", "kind": "drop", "times": 0}, "times must be at least 1"),
        ({"operation": "*", "kind": "drop", "seconds": -1}, "'seconds' must be >= 0"),
    ],
)
async def test_what_is_no_fault_is_refused(server: Server, rule: dict[str, Any], part: str) -> None:
    answer = await server.send("POST", "/_standin/faults", json=rule)
    assert answer.status_code == 400
    assert part in answer.json()["error"]
    assert (await server.send("GET", "/_standin/faults")).json() == {"faults": []}
