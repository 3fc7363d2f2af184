"""Limits to the byte, and refusals in the services' own words; what is refused is not billed."""

import base64
import io
import json
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from PIL import Image
from standin_kit import Aws, Server
from standin_media import film, picture

from mediaq.embedded.standin import openai

pytest_plugins = ["standin_fixtures"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGE_OPERATIONS = ("detect_labels", "detect_text", "detect_faces", "detect_moderation_labels")
BYTES_LIMIT = 5_242_880
OBJECT_LIMIT = 15 * 1024 * 1024


async def refusal(call: Awaitable[Any], code: str, status: int = 400) -> str:
    """Expect a call to be refused; returns the message."""
    with pytest.raises(ClientError) as caught:
        await call
    response = caught.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    return str(response["Error"]["Message"])


def padded(size: int) -> bytes:
    """A whole JPEG of exactly so many bytes."""
    data = picture(kind="JPEG")
    return data + bytes(size - len(data))


async def raw(server: Server, target: str, body: bytes) -> httpx.Response:
    return await server.send("POST", "/", content=body, headers={"x-amz-target": target})


def target(operation: str) -> str:
    return "RekognitionService." + "".join(part.title() for part in operation.split("_"))


@pytest.fixture
def unbilled(server: Server) -> Any:
    """The stand-in; checks in the end that refusals are on record and nothing was billed."""
    yield server
    calls = server.calls()
    assert calls
    assert all(not call["billed"] and call["error"] and call["units"] == "0" for call in calls), calls


@pytest.mark.parametrize("operation", IMAGE_OPERATIONS)
class TestImages:
    async def test_missing_object(self, unbilled: Server, aws: Aws, operation: str) -> None:
        for bucket in (unbilled.bucket, "no-such-bucket-anywhere"):
            place = {"S3Object": {"Bucket": bucket, "Name": "nothing.png"}}
            message = await refusal(
                aws.call("rekognition", operation, Image=place), "InvalidS3ObjectException"
            )
            assert message.startswith("Unable to get object metadata from S3.")

    @pytest.mark.parametrize("by", ["bytes", "object"])
    async def test_what_is_no_whole_jpeg_or_png(
        self, unbilled: Server, aws: Aws, operation: str, by: str
    ) -> None:
        gif = io.BytesIO()
        Image.new("RGB", (100, 100)).save(gif, "GIF")
        whole = {"png": picture("red"), "jpeg": picture("red", (400, 400), "JPEG")}
        bad = [gif.getvalue(), b"no image", whole["png"][:-40], whole["jpeg"][:-300], whole["png"][:20]]
        bad += [b""] if by == "object" else []
        for data in bad:
            place = unbilled.put("bad", data) if by == "object" else {"Bytes": data}
            call = aws.call("rekognition", operation, Image=place)
            message = await refusal(call, "InvalidImageFormatException")
            assert message == "Request has invalid image format"

    async def test_least_pixels(self, aws: Aws, operation: str) -> None:
        await aws.call("rekognition", operation, Image={"Bytes": picture("red", (80, 80))})
        for size in ((79, 80), (80, 79)):
            call = aws.call("rekognition", operation, Image={"Bytes": picture("red", size)})
            assert await refusal(call, "InvalidParameterException") == "Request has invalid parameters"

    async def test_most_pixels(self, aws: Aws, operation: str) -> None:
        """Labels and moderation take 10,000 pixels a side; text and faces have no such limit."""
        await aws.call("rekognition", operation, Image={"Bytes": picture("red", (10_000, 80))})
        call = aws.call("rekognition", operation, Image={"Bytes": picture("red", (10_001, 80))})
        if operation in ("detect_text", "detect_faces"):
            await call
        else:
            message = await refusal(call, "ImageTooLargeException")
            assert message.startswith("Input image dimensions 10001 x 80 exceed")

    async def test_an_image_by_bytes_and_by_object_or_by_neither(
        self, unbilled: Server, aws: Aws, operation: str
    ) -> None:
        place = unbilled.put("image.png", picture("red"))
        for image in ({}, {"Bytes": picture("red"), **place}):
            await refusal(aws.call("rekognition", operation, Image=image), "InvalidParameterException")

    async def test_missing_and_broken_members(self, unbilled: Server, operation: str) -> None:
        for body, code, part in (
            ({}, "ValidationException", "Value null at 'image' failed to satisfy constraint"),
            ({"Image": {"S3Object": {"Bucket": "ab", "Name": "x"}}}, "ValidationException", "length greater"),
            ({"Image": {"S3Object": {"Bucket": "abc"}}}, "ValidationException", "'image.s3Object.name'"),
            (
                {"Image": "image.png"},
                "SerializationException",
                "image: expected type: JSONObject, found: String",
            ),
            ({"Image": {"Bytes": "%%%"}}, "SerializationException", "base64"),
            ({"Image": {"Bytes": 5}}, "SerializationException", "image.bytes: expected type: String"),
            ({"Image": None}, "ValidationException", "Value null at 'image'"),
        ):
            answer = await raw(unbilled, target(operation), json.dumps(body).encode())
            assert answer.status_code == 400
            assert unbilled.calls()[-1]["error"] == code
            assert answer.json()["__type"] == code
            assert part in answer.json()["Message"]


async def test_bytes_of_an_image_are_limited(server: Server) -> None:
    answers = []
    for size in (BYTES_LIMIT, BYTES_LIMIT + 1):
        body = {"Image": {"Bytes": base64.b64encode(padded(size)).decode()}}
        answers.append(await raw(server, "RekognitionService.DetectLabels", json.dumps(body).encode()))
    assert [answer.status_code for answer in answers] == [200, 400]
    assert answers[1].json() == {
        "__type": "ValidationException",
        "Message": "1 validation error detected: "
        "Value 'java.nio.HeapByteBuffer[pos=0 lim=5242881 cap=5242881]' at 'image.bytes' "
        "failed to satisfy constraint: Member must have length less than or equal to 5242880",
    }
    assert [call["billed"] for call in server.calls()] == [True, False]


async def test_an_image_of_no_bytes(unbilled: Server, aws: Aws) -> None:
    call = aws.call("rekognition", "detect_labels", Image={"Bytes": b""})
    assert "length greater than or equal to 1" in await refusal(call, "ValidationException")


@pytest.mark.parametrize(
    ("operation", "parameters", "part"),
    [
        ("detect_labels", {"MaxLabels": -1}, "'maxLabels' failed to satisfy constraint"),
        ("detect_labels", {"MinConfidence": 101}, "'minConfidence' failed to satisfy constraint"),
        ("detect_faces", {"Attributes": ["SMELL"]}, "enum value set: [DEFAULT, ALL, AGE_RANGE"),
        ("detect_text", {"Filters": {"WordFilter": {"MinBoundingBoxHeight": 2}}}, "minBoundingBoxHeight"),
        ("detect_text", {"Filters": {"RegionsOfInterest": [{}] * 11}}, "'filters.regionsOfInterest'"),
        ("detect_moderation_labels", {"MinConfidence": -1}, "'minConfidence' failed to satisfy constraint"),
    ],
)
async def test_parameters_out_of_bounds(
    unbilled: Server, aws: Aws, operation: str, parameters: dict[str, Any], part: str
) -> None:
    call = aws.call("rekognition", operation, Image={"Bytes": picture("red")}, **parameters)
    assert part in await refusal(call, "ValidationException")


async def test_bytes_of_an_image_in_s3_are_limited(server: Server, aws: Aws) -> None:
    place = server.put("image.jpg", padded(OBJECT_LIMIT))
    await aws.call("rekognition", "detect_labels", Image=place)
    place = server.put("image.jpg", padded(OBJECT_LIMIT + 1))
    await refusal(aws.call("rekognition", "detect_labels", Image=place), "ImageTooLargeException")
    assert [call["billed"] for call in server.calls()] == [True, False]


TEXT_LIMITS = {
    "detect_sentiment": 5_000,
    "detect_entities": 100_000,
    "detect_key_phrases": 100_000,
    "detect_dominant_language": 100_000,
}


class TestTexts:
    def request(self, operation: str, text: str, language: str = "en") -> dict[str, Any]:
        named = {} if operation == "detect_dominant_language" else {"LanguageCode": language}
        return {"Text": text, **named}

    @pytest.mark.parametrize(("operation", "limit"), TEXT_LIMITS.items())
    async def test_bytes_of_utf8_are_limited(
        self, server: Server, aws: Aws, operation: str, limit: int
    ) -> None:
        text = "ä" * (limit // 2)
        await aws.call("comprehend", operation, **self.request(operation, text))
        call = aws.call("comprehend", operation, **self.request(operation, text + "a"))
        message = await refusal(call, "TextSizeLimitExceededException")
        assert message == (
            f"Input text size exceeds limit. Max length of request text allowed is {limit} bytes "
            f"while in this request the text size is {limit + 1} bytes"
        )
        assert [call["billed"] for call in server.calls()] == [True, False]

    @pytest.mark.usefixtures("unbilled")
    @pytest.mark.parametrize("operation", TEXT_LIMITS)
    async def test_empty_text(self, aws: Aws, operation: str) -> None:
        call = aws.call("comprehend", operation, **self.request(operation, ""))
        message = await refusal(call, "ValidationException")
        assert "Value at 'text' failed to satisfy constraint" in message

    @pytest.mark.usefixtures("unbilled")
    @pytest.mark.parametrize("operation", [name for name in TEXT_LIMITS if "language" not in name])
    async def test_unsupported_language(self, aws: Aws, operation: str) -> None:
        call = aws.call("comprehend", operation, **self.request(operation, "Hej med dig", "da"))
        assert await refusal(call, "ValidationException") == (
            "1 validation error detected: Value at 'languageCode' failed to satisfy constraint: Member must "
            "satisfy enum value set: [hi, de, zh-TW, ko, pt, en, it, fr, zh, es, ar, ja]"
        )

    @pytest.mark.usefixtures("unbilled")
    @pytest.mark.parametrize("operation", [name for name in TEXT_LIMITS if "language" not in name])
    async def test_missing_language(self, aws: Aws, operation: str) -> None:
        assert await refusal(aws.call("comprehend", operation, Text="Hello"), "ValidationException") == (
            "1 validation error detected: Value null at 'languageCode' failed to satisfy constraint: "
            "Member must not be null"
        )


class TestVideo:
    async def test_missing_object(self, unbilled: Server, aws: Aws) -> None:
        place = {"S3Object": {"Bucket": unbilled.bucket, "Name": "no.mp4"}}
        call = aws.call("rekognition", "start_label_detection", Video=place)
        await refusal(call, "InvalidS3ObjectException")

    @pytest.mark.usefixtures("unbilled")
    async def test_unknown_job(self, aws: Aws) -> None:
        call = aws.call("rekognition", "get_label_detection", JobId="0" * 64)
        assert await refusal(call, "ResourceNotFoundException") == "Could not find JobId"

    async def test_token_of_forbidden_characters(self, unbilled: Server, aws: Aws) -> None:
        place = unbilled.put("film.mp4", film("red"))
        for token in ("a b", "x" * 65):
            call = aws.call("rekognition", "start_label_detection", Video=place, ClientRequestToken=token)
            await refusal(call, "ValidationException")


class TestSpeech:
    def request(self, server: Server, **changes: Any) -> dict[str, Any]:
        media = {"MediaFileUri": f"s3://{server.bucket}/talk.wav"}
        request = {"TranscriptionJobName": server.bucket, "Media": media, "LanguageCode": "en-US", **changes}
        return {name: value for name, value in request.items() if value is not None}

    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({}, "doesn't point to an S3 object"),
            ({"Media": {"MediaFileUri": "s3://just-a-bucket"}}, "doesn't point to an S3 object"),
            ({"LanguageCode": None}, "exactly one of"),
            ({"IdentifyLanguage": True}, "exactly one of"),
            ({"LanguageOptions": ["en-US", "de-DE"]}, "only be used with language identification"),
            ({"LanguageCode": None, "IdentifyLanguage": True, "LanguageOptions": ["en"]}, "enum value set"),
            ({"TranscriptionJobName": "no spaces"}, "'transcriptionJobName' failed to satisfy constraint"),
            ({"LanguageCode": "xx-XX"}, "Member must satisfy enum value set"),
            ({"MediaSampleRateHertz": 7_999}, "greater than or equal to 8000"),
        ],
    )
    async def test_bad_requests(self, unbilled: Server, aws: Aws, changes: dict[str, Any], part: str) -> None:
        call = aws.call("transcribe", "start_transcription_job", **self.request(unbilled, **changes))
        assert part in await refusal(call, "BadRequestException")

    async def test_a_name_that_is_no_text(self, unbilled: Server) -> None:
        body = json.dumps(self.request(unbilled, TranscriptionJobName=5)).encode()
        answer = await raw(unbilled, "Transcribe.StartTranscriptionJob", body)
        assert answer.json()["__type"] == "SerializationException"
        assert [call["job"] for call in unbilled.calls()] == [None]

    async def test_output_bucket_that_is_not_there(self, unbilled: Server, aws: Aws) -> None:
        unbilled.put("talk.wav", b"RIFF")
        request = self.request(unbilled, OutputBucketName="no-such-bucket-anywhere")
        message = await refusal(
            aws.call("transcribe", "start_transcription_job", **request), "BadRequestException"
        )
        assert "bucket can't be accessed" in message

    @pytest.mark.usefixtures("unbilled")
    async def test_unknown_job(self, aws: Aws) -> None:
        call = aws.call("transcribe", "get_transcription_job", TranscriptionJobName="nobody-s")
        assert (await refusal(call, "BadRequestException")).startswith("The requested job couldn't be found")


TEXT_MODEL, IMAGE_MODEL = "amazon.titan-embed-text-v2:0", "amazon.titan-embed-image-v1"
COHERE = "cohere.embed-english-v3"


def texts(given: Any, **more: str) -> dict[str, Any]:
    """A body for Cohere's models."""
    return {"texts": given, "input_type": "search_document", **more}


class TestBedrock:
    @pytest.mark.usefixtures("unbilled")
    @pytest.mark.parametrize(
        ("model", "body", "part"),
        [
            (TEXT_MODEL, {"inputText": ""}, "expected minLength: 1, actual: 0"),
            (TEXT_MODEL, {}, "required key [inputText] not found"),
            (TEXT_MODEL, {"inputText": "a" * 50_001}, "expected maxLength: 50000, actual: 50001"),
            (
                TEXT_MODEL,
                {"inputText": "a " * 8_193},
                "Max input tokens: 8192, request input token count: 8193",
            ),
            (TEXT_MODEL, {"inputText": "a", "dimensions": 100}, "100 is not a valid enum value"),
            (TEXT_MODEL, {"inputText": "a", "more": 1}, "extraneous key [more] is not permitted"),
            (TEXT_MODEL, {"inputText": 5}, "expected type: String, found: Integer"),
            (IMAGE_MODEL, {}, "at least one of inputText or inputImage"),
            (IMAGE_MODEL, {"inputImage": "bm8gaW1hZ2U="}, "no valid base64-encoded JPEG or PNG"),
            (IMAGE_MODEL, {"inputText": "a " * 257}, "Max input tokens: 256"),
            (
                IMAGE_MODEL,
                {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 512}},
                "512 is not a valid enum value",
            ),
            (COHERE, {"input_type": "search_document"}, "required key [texts] not found"),
            (COHERE, {"texts": ["a"]}, "required key [input_type] not found"),
            (COHERE, texts(["a"], input_type="song"), "#/input_type: song is not a valid enum value"),
            (COHERE, texts(["a"], truncate="LEFT"), "#/truncate: LEFT is not a valid enum value"),
            (COHERE, texts([]), "#/texts: expected minimum item count: 1, found: 0"),
            (COHERE, texts(["a"] * 97), "#/texts: expected maximum item count: 96, found: 97"),
            (COHERE, texts(["a", 5]), "#/texts/1: expected type: String, found: Integer"),
            (COHERE, texts(["a", "b" * 2_049]), "#/texts/1: expected maxLength: 2048, actual: 2049"),
            (COHERE, texts(["a " * 513]), "Max input tokens: 512, request input token count: 513"),
            (COHERE, texts("a"), "expected type: JSONArray, found: String"),
        ],
    )
    async def test_bad_bodies(self, aws: Aws, model: str, body: dict[str, Any], part: str) -> None:
        call = aws.call("bedrock-runtime", "invoke_model", modelId=model, body=json.dumps(body))
        assert part in await refusal(call, "ValidationException")

    async def test_the_limits_themselves_are_taken(self, server: Server, aws: Aws) -> None:
        for text in ("a" * 40_960, "a " * 8_192):
            body = json.dumps({"inputText": text})
            await aws.call("bedrock-runtime", "invoke_model", modelId=TEXT_MODEL, body=body)
        assert [call["units"] for call in server.calls(billed="true")] == ["8.192", "8.192"]

    async def test_pixels_are_limited(self, aws: Aws) -> None:
        for size, taken in (((2048, 2048), True), ((2049, 2048), False)):
            image = base64.b64encode(picture("red", size)).decode()
            body = json.dumps({"inputImage": image})
            call = aws.call("bedrock-runtime", "invoke_model", modelId=IMAGE_MODEL, body=body)
            if taken:
                await call
            else:
                assert "exceeds max pixels" in await refusal(call, "ValidationException")

    async def test_unknown_model(self, aws: Aws) -> None:
        call = aws.call("bedrock-runtime", "invoke_model", modelId="some.other-model", body="{}")
        assert await refusal(call, "ValidationException") == "The provided model identifier is invalid."

    async def test_errors_are_named_in_the_header(self, server: Server) -> None:
        answer = await server.send("POST", f"/model/{TEXT_MODEL}/invoke", json={})
        assert answer.headers["x-amzn-errortype"] == "ValidationException"
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()) == {"message"}


class TestOpenai:
    async def test_a_key_is_wanted(self, server: Server) -> None:
        for headers in ({}, {"authorization": "Bearer"}):
            body = {"model": "text-embedding-3-small", "input": "hello"}
            answer = await server.send("POST", "/v1/embeddings", json=body, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
        assert server.bill() == []

    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({"model": "text-embedding-9"}, "`text-embedding-9` does not exist"),
            ({"input": ""}, "none of them empty"),
            ({"input": 5}, "must be a string or a list"),
            ({"input": ["a"] * (openai.MOST_INPUTS + 1)}, "from 1 to 2048"),
            ({"input": "a " * 8_193}, "you requested 8193"),
            ({"dimensions": 1_537}, "from 1 to 1536"),
        ],
    )
    async def test_bad_bodies(self, server: Server, changes: dict[str, Any], part: str) -> None:
        body = {"model": "text-embedding-3-small", "input": "hello", **changes}
        answer = await server.openai(**body)
        assert part in answer["error"]["message"]
        assert server.bill() == []


async def test_unknown_operations_and_broken_json_are_refused(server: Server) -> None:
    for target, body, code in (
        ("RekognitionService.DetectUnicorns", b"{}", "UnknownOperationException"),
        ("RekognitionService.DetectLabels", b"{", "SerializationException"),
        ("RekognitionService.DetectLabels", b"[]", "SerializationException"),
    ):
        answer = await raw(server, target, body)
        assert (answer.status_code, answer.json()["__type"]) == (400, code)
