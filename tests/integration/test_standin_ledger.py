"""The ledger says what AWS would bill, by its published rules, for cases worked by hand."""

import asyncio
import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from standin_kit import Aws, Server, labelled, transcribed
from standin_media import film, picture, recording

pytest_plugins = ["standin_fixtures"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT_OPERATIONS = {
    "detect_sentiment": "comprehend.detect-sentiment",
    "detect_entities": "comprehend.detect-entities",
    "detect_key_phrases": "comprehend.detect-key-phrases",
    "detect_dominant_language": "comprehend.detect-dominant-language",
}


@pytest.mark.parametrize(
    "operation", ["detect_labels", "detect_text", "detect_faces", "detect_moderation_labels"]
)
async def test_each_image_operation_is_one_image(server: Server, aws: Aws, operation: str) -> None:
    place = server.put("folder/image.png", picture("red"))
    await aws.call("rekognition", operation, Image=place)
    await aws.call("rekognition", operation, Image={"Bytes": picture("red")})
    assert server.bill() == [("rekognition.image", "1", "image")] * 2
    digest = hashlib.sha256(picture("red")).hexdigest()
    resources = [call["resource"] for call in server.calls()]
    assert resources == [f"s3://{server.bucket}/folder/image.png", f"sha256:{digest}"]


@pytest.mark.parametrize(("operation", "item"), TEXT_OPERATIONS.items())
@pytest.mark.parametrize(
    ("characters", "units"), [(1, "3"), (300, "3"), (301, "4"), (400, "4"), (401, "5"), (4_999, "50")]
)
async def test_text_is_billed_by_units_of_100_characters_at_least_three(
    server: Server, aws: Aws, operation: str, item: str, characters: int, units: str
) -> None:
    language = {} if "language" in operation else {"LanguageCode": "en"}
    await aws.call("comprehend", operation, Text="a" * characters, **language)
    assert server.bill() == [(item, units, "100 characters")]


async def test_characters_are_code_points_not_bytes(server: Server, aws: Aws) -> None:
    await aws.call("comprehend", "detect_sentiment", Text="😀" * 350, LanguageCode="en")
    assert server.bill() == [("comprehend.detect-sentiment", "4", "100 characters")]


@pytest.mark.parametrize(
    ("seconds", "units"), [(Fraction(1, 2), "1"), (Fraction(2), "2"), (Fraction(2001, 1000), "3")]
)
async def test_speech_is_billed_by_begun_seconds_when_it_is_completed(
    server: Server, aws: Aws, seconds: Fraction, units: str
) -> None:
    server.put("talk.wav", recording(seconds))
    name = server.bucket
    media = {"MediaFileUri": f"s3://{name}/talk.wav"}
    request = {"TranscriptionJobName": name, "Media": media, "LanguageCode": "en-US"}
    await aws.call("transcribe", "start_transcription_job", **request)
    assert server.bill() == []
    await transcribed(aws, name)
    await transcribed(aws, name)
    assert server.bill() == [("transcribe.batch", units, "second")]
    call = server.calls()[0]
    assert (call["job"], call["resource"]) == (name, f"s3://{name}/talk.wav")


@pytest.mark.parametrize(("seconds", "units"), [(3, "0.05"), (6, "0.1"), (45, "0.75")])
async def test_films_are_billed_by_minutes_to_the_millisecond(
    server: Server, aws: Aws, seconds: int, units: str
) -> None:
    place = server.put("film.mp4", film("red", seconds_each=seconds))
    job = (await aws.call("rekognition", "start_label_detection", Video=place))["JobId"]
    answer = await labelled(aws, job)
    assert answer["VideoMetadata"]["DurationMillis"] == seconds * 1000
    assert server.bill() == [("rekognition.video.labels", units, "minute")]
    assert server.calls()[0]["job"] == job


async def invoke(aws: Aws, model: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await aws.call("bedrock-runtime", "invoke_model", modelId=model, body=json.dumps(body))
    async with answer["body"] as stream:
        found: dict[str, Any] = json.loads(await stream.read())
        return found


async def test_titan_text_is_billed_by_the_tokens_it_answers(server: Server, aws: Aws) -> None:
    """Five characters of a word make a token: 1 + 2 + 1 for the mark."""
    answer = await invoke(aws, "amazon.titan-embed-text-v2:0", {"inputText": "hello friend!"})
    assert answer["inputTextTokenCount"] == 4
    assert server.bill() == [("bedrock.titan-embed-text-v2.tokens", "0.004", "1K tokens")]


async def test_titan_image_is_billed_by_image_and_by_tokens(server: Server, aws: Aws) -> None:
    image = base64.b64encode(picture("red")).decode()
    model = "amazon.titan-embed-image-v1"
    one = ("bedrock.titan-embed-image-v1.images", "1", "image")
    two = ("bedrock.titan-embed-image-v1.tokens", "0.002", "1K tokens")
    await invoke(aws, model, {"inputImage": image})
    assert server.bill() == [one]
    await invoke(aws, model, {"inputText": "red wall"})
    assert server.bill() == [one, two]
    await invoke(aws, model, {"inputText": "red wall", "inputImage": image})
    assert server.bill() == [one, two, two, one]


@pytest.mark.parametrize("model", ["text-embedding-3-small", "text-embedding-3-large"])
async def test_openai_is_billed_by_tokens(server: Server, model: str) -> None:
    answer = await server.openai(model=model, input=["one two", "three"])
    assert answer["usage"]["prompt_tokens"] == 3
    assert server.bill() == [(f"openai.{model}.tokens", "0.003", "1K tokens")]


async def test_a_line_says_what_when_and_by_which_operation(server: Server, aws: Aws) -> None:
    await aws.call("comprehend", "detect_sentiment", Text="hello", LanguageCode="en")
    [call] = server.calls()
    assert datetime.now(UTC) - datetime.fromisoformat(call.pop("at")) < timedelta(seconds=30)
    assert call.pop("id")
    assert call.pop("request_id")
    assert call == {
        "service": "comprehend",
        "operation": "DetectSentiment",
        "item": "comprehend.detect-sentiment",
        "resource": "sha256:" + hashlib.sha256(b"hello").hexdigest(),
        "units": "3",
        "unit": "100 characters",
        "billed": True,
        "error": None,
        "http_status": 200,
        "job": None,
        "request_token": None,
    }


async def test_a_line_names_the_answer_that_it_belongs_to(server: Server, aws: Aws) -> None:
    text = {"Text": "hello", "LanguageCode": "en"}
    body = json.dumps({"inputText": "hello"})
    answers = [
        await aws.call("comprehend", "detect_sentiment", **text),
        await aws.call("bedrock-runtime", "invoke_model", modelId="amazon.titan-embed-text-v2:0", body=body),
    ]
    with pytest.raises(ClientError) as refused:
        await aws.call("comprehend", "detect_sentiment", **{**text, "LanguageCode": "xx"})
    answers.append(refused.value.response)
    question = {"model": "text-embedding-3-small", "input": "hello"}
    answer = await server.send(
        "POST", "/v1/embeddings", json=question, headers={"authorization": "Bearer key"}
    )
    ids = [answer["ResponseMetadata"]["RequestId"] for answer in answers] + [answer.headers["x-request-id"]]
    assert len(set(ids)) == len(ids)
    assert [call["request_id"] for call in server.calls()] == ids


async def test_the_lines_of_one_answer_share_its_id(server: Server, aws: Aws) -> None:
    image = base64.b64encode(picture("red")).decode()
    await invoke(aws, "amazon.titan-embed-image-v1", {"inputText": "red wall", "inputImage": image})
    one, other = server.calls()
    assert one["request_id"] == other["request_id"] is not None


async def test_a_call_whose_answer_was_lost_has_an_id_that_nobody_received(server: Server, aws: Aws) -> None:
    server.fault("DetectSentiment", "drop-after")
    with pytest.raises(ConnectionClosedError):
        await aws.call("comprehend", "detect_sentiment", Text="hello", LanguageCode="en")
    answer = await aws.call("comprehend", "detect_sentiment", Text="hello", LanguageCode="en")
    lost, kept = (call["request_id"] for call in server.calls())
    assert kept == answer["ResponseMetadata"]["RequestId"] != lost is not None


async def test_calls_at_once_have_a_line_each(server: Server, aws: Aws) -> None:
    calls = [
        aws.call("comprehend", "detect_sentiment", Text=f"text {i}", LanguageCode="en") for i in range(30)
    ]
    await asyncio.gather(*calls)
    assert len({call["id"] for call in server.calls()}) == 30
    assert len({call["resource"] for call in server.calls()}) == 30


async def test_the_ledger_is_filtered_and_cleared(server: Server, aws: Aws) -> None:
    await aws.call("comprehend", "detect_sentiment", Text="hello", LanguageCode="en")
    await server.openai(model="text-embedding-3-small", input="")
    assert [call["billed"] for call in server.calls()] == [True, False]
    assert [call["service"] for call in server.calls(billed="true")] == ["comprehend"]
    assert [call["service"] for call in server.calls(billed="false")] == ["openai"]
    assert (await server.send("GET", "/_standin/calls?billed=maybe")).status_code == 400
    assert (await server.send("DELETE", "/_standin/calls")).status_code == 204
    assert server.calls() == []
