"""Bad input, each kind with its exact answer: nothing half-written is left, and nothing is charged."""

import io
import json
import struct
import zlib
from typing import Any

import media
import pytest
from house import OTHER, USER, Api, StandIn, token_for
from PIL import Image
from quarters import quarters, saved

from mediaq.pipelines.embedding import DEEPEST
from mediaq.resources import Resources

IMAGE: dict[str, Any] = {"mediaItemId": "m", "s3Key": "k", "operations": {"detectLabels": True}}
TEXT: dict[str, Any] = {"mediaItemId": "m", "text": "A fine day.", "operations": {"detectSentiment": True}}
EMBEDDING: dict[str, Any] = {"mediaItemId": "m", "contentType": "text", "content": "A fine day."}
IMAGE_OPERATIONS = "detectLabels, detectText, detectFaces, detectModerationLabels"


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


def nested(depth: int) -> dict[str, Any]:
    """Objects in lists in objects, so deep in all."""
    inner: Any = {} if depth % 2 else []
    for left in range(1, depth):
        inner = {"in": inner} if (depth - left) % 2 else [inner]
    assert isinstance(inner, dict)
    return inner


REFUSED: dict[str, tuple[str, Any, str, str | None]] = {
    "malformed JSON": (
        "image-processing",
        b"{",
        "the body is not JSON: Input data was truncated",
        None,
    ),
    "an empty body": ("image-processing", b"", "the body is not JSON: Input data was truncated", None),
    "invalid UTF-8": (
        "text-analysis",
        b'{"mediaItemId":"m","text":"\xff","operations":{"detectSentiment":true}}',
        "the body is not JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        None,
    ),
    "no object": ("image-processing", [], "Expected `object`, got `array`", None),
    "no media item": (
        "image-processing",
        without(IMAGE, "mediaItemId"),
        "mediaItemId: Object missing required field `mediaItemId`",
        "mediaItemId",
    ),
    "no s3Key": (
        "image-processing",
        without(IMAGE, "s3Key"),
        "s3Key: Object missing required field `s3Key`",
        "s3Key",
    ),
    "no operations": (
        "image-processing",
        without(IMAGE, "operations"),
        "operations: Object missing required field `operations`",
        "operations",
    ),
    "empty operations": (
        "image-processing",
        {**IMAGE, "operations": {}},
        f"operations: Ask for at least one of: {IMAGE_OPERATIONS}",
        "operations",
    ),
    "operations all false": (
        "image-processing",
        {**IMAGE, "operations": {"detectText": False}},
        f"operations: Ask for at least one of: {IMAGE_OPERATIONS}",
        "operations",
    ),
    "an unknown operation": (
        "image-processing",
        {**IMAGE, "operations": {"detectGhosts": True}},
        "operations.detectGhosts: Object contains unknown field `detectGhosts`",
        "operations.detectGhosts",
    ),
    "an operation of another type": (
        "image-processing",
        {**IMAGE, "operations": {"detectText": "yes"}},
        "operations.detectText: Expected `bool | object`, got `str`",
        "operations.detectText",
    ),
    "a parameter that is out of range": (
        "image-processing",
        {**IMAGE, "operations": {"detectLabels": {"maxLabels": 0}}},
        "operations.detectLabels.maxLabels: Expected `int` >= 1",
        "operations.detectLabels.maxLabels",
    ),
    "an unknown parameter": (
        "image-processing",
        {**IMAGE, "operations": {"detectFaces": {"minConfidence": 50}}},
        "operations.detectFaces.minConfidence: Object contains unknown field `minConfidence`",
        "operations.detectFaces.minConfidence",
    ),
    "a parameter of another type, deep inside": (
        "image-processing",
        {
            **IMAGE,
            "operations": {"detectText": {"regions": [{"left": "0"}]}},
        },
        "operations.detectText.regions[0].left: Expected `float`, got `str`",
        "operations.detectText.regions[0].left",
    ),
    "parameters of an operation that has none": (
        "text-analysis",
        {"mediaItemId": "m", "text": "A day.", "operations": {"detectSentiment": {}}},
        "operations.detectSentiment: Expected `bool`, got `object`",
        "operations.detectSentiment",
    ),
    "an unknown field": (
        "image-processing",
        {**IMAGE, "s3key": "k"},
        "s3key: Object contains unknown field `s3key`",
        "s3key",
    ),
    "a number for a string": (
        "image-processing",
        {**IMAGE, "mediaItemId": 7},
        "mediaItemId: Expected `str`, got `int`",
        "mediaItemId",
    ),
    "an empty string": (
        "text-analysis",
        {**TEXT, "text": ""},
        "text: Expected `str` of length >= 1",
        "text",
    ),
    "a NUL character": (
        "text-analysis",
        {**TEXT, "text": "a\0b"},
        "text: Expected `str` matching regex '\\\\A[^\\\\x00]*\\\\Z'",
        "text",
    ),
    "a blank text": (
        "text-analysis",
        {**TEXT, "text": " \n\u3000"},
        "text: Expected more than white space in the field `text`",
        "text",
    ),
    "neither a text nor a key": (
        "text-analysis",
        without(TEXT, "text"),
        "text: Object missing required field `text` (or `s3Key`)",
        "text",
    ),
    "a text and a key": (
        "text-analysis",
        {**TEXT, "s3Key": "k"},
        "s3Key: Expected only one of `text` and the field `s3Key`",
        "s3Key",
    ),
    "a language that is not supported": (
        "text-analysis",
        {**TEXT, "languageCode": "nl"},
        (
            "languageCode: Invalid field `languageCode`: detectSentiment does not support the language 'nl' "
            "that was given: give languageCode as one of ar, de, en, es, fr, hi, it, ja, ko, pt, zh, zh-TW, "
            "or leave it out to have the language detected"
        ),
        "languageCode",
    ),
    "a negative duration": (
        "video-processing",
        {"mediaItemId": "m", "s3Key": "k", "operations": {"transcribe": True}, "duration": -1},
        "duration: Expected `float` >= 0.0",
        "duration",
    ),
    "an unknown content type": (
        "embedding-generation",
        {**EMBEDDING, "contentType": "smell"},
        "contentType: Invalid enum value 'smell'",
        "contentType",
    ),
    "metadata nested too deeply": (
        "embedding-generation",
        {**EMBEDDING, "metadata": nested(DEEPEST + 1)},
        f"metadata: Invalid field `metadata`: it is nested more than {DEEPEST} deep",
        "metadata",
    ),
    "no content": (
        "embedding-generation",
        without(EMBEDDING, "content"),
        "content: Object missing required field `content`",
        "content",
    ),
    "an image without a key": (
        "embedding-generation",
        {**EMBEDDING, "contentType": "image"},
        "s3Key: Object missing required field `s3Key`",
        "s3Key",
    ),
}


async def nothing_is_left(resources: Resources, standin: StandIn) -> None:
    for table in ("jobs", "media_items", "cost_entries", "operation_runs"):
        assert await resources.store.pool.fetchval(f"select count(*) from {table}") == 0  # noqa: S608 - a constant
    assert await resources.redis.keys("rq:job:*") == []
    assert standin.calls() == []


@pytest.mark.parametrize(("job_type", "body", "error", "field"), REFUSED.values(), ids=REFUSED)
async def test_a_bad_request_is_refused_and_the_wrong_field_named(
    api: Api,
    resources: Resources,
    standin: StandIn,
    job_type: str,
    body: Any,
    error: str,
    field: str | None,
) -> None:
    answer = await api.post(job_type, body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    named = {} if field is None else {"field": field}
    assert answer.json() == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": error,
        "error": error,
        **named,
    }
    await nothing_is_left(resources, standin)


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (None, "a token is needed: send the header Authorization: Bearer TOKEN"),
        ("Basic dTpw", "a token is needed: send the header Authorization: Bearer TOKEN"),
        ("Bearer nonsense", "the token is not accepted: it is no JWT"),
        (
            f"Bearer {token_for(USER, secret='another secret, long enough for HS256')}",
            "the token is not accepted: Signature verification failed",
        ),
        (f"Bearer {token_for(USER, exp=1)}", "the token has expired: get a new one"),
    ],
    ids=["none", "another scheme", "nonsense", "another secret", "expired"],
)
async def test_without_a_good_token_nothing_is_done(
    api: Api, resources: Resources, standin: StandIn, header: str | None, error: str
) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in (
        ("POST", "/api/queues/image-processing"),
        ("GET", "/api/queues"),
        ("GET", "/api/queues/image-processing/x"),
    ):
        answer = await api.http.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, error)
        assert answer.headers["www-authenticate"] == "Bearer"
    await nothing_is_left(resources, standin)


async def test_an_unknown_job_type_and_an_unknown_job_are_not_found(api: Api) -> None:
    unknown = await api.post("audio-processing", IMAGE)
    assert (unknown.status_code, unknown.json()["error"]) == (404, "there is no job type audio-processing")
    for job_id in ("nonsense", "0" * 32, "a%00b"):
        answer = await api.http.get(f"/api/queues/image-processing/{job_id}", headers=api.as_user(USER))
        assert answer.status_code == 404


async def test_anothers_job_and_anothers_media_item_are_refused(api: Api) -> None:
    job_id = await api.accept("text-analysis", TEXT)
    seen = await api.http.get(f"/api/queues/text-analysis/{job_id}", headers=api.as_user(OTHER))
    assert (seen.status_code, seen.json()["error"]) == (403, f"job {job_id} belongs to another user")
    admin = await api.http.get(f"/api/queues/text-analysis/{job_id}", headers=api.as_user("boss", admin=True))
    assert admin.status_code == 200
    used = await api.post("text-analysis", TEXT, user=OTHER)
    assert (used.status_code, used.json()["error"]) == (403, "media item m belongs to another user")
    posed = await api.post("text-analysis", {**TEXT, "userId": OTHER})
    assert (posed.status_code, posed.json()["field"]) == (403, "userId")


async def test_a_body_over_one_mebibyte_is_refused(api: Api, resources: Resources, standin: StandIn) -> None:
    answer = await api.post("text-analysis", {**TEXT, "text": "a" * 1024 * 1024})
    assert (answer.status_code, answer.json()["error"]) == (413, "the body is over 1048576 bytes")
    await nothing_is_left(resources, standin)


async def test_a_text_of_a_megabyte_goes_through(api: Api, standin: StandIn) -> None:
    body = {**TEXT, "languageCode": "en", "text": "a" * 1_000_000}
    job = await api.run("text-analysis", body)
    assert (job["status"], job["attemptsMade"], job["possibleCost"]) == ("completed", 1, 0)
    assert [cost["units"] for cost in job["costs"]] == [50] * 200
    assert len(standin.billed()) == 200


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (200, 200), "red").save(out, "PNG")
    return out.getvalue()


def webp() -> bytes:
    return saved(quarters(), "WEBP")


def bomb() -> bytes:
    """A PNG of a few bytes that claims to have 1.6 billion pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return saved(quarters(), "PNG")[:12] + header + struct.pack(">I", zlib.crc32(header)) + png()[33:]


EVERY_LOOK = dict.fromkeys(IMAGE_OPERATIONS.split(", "), True)
VIDEO_OPERATIONS = {"transcribe": True, "detectLabels": True, "generateThumbnails": True}
UNUSABLE: dict[str, tuple[str, bytes | None, dict[str, bool], str]] = {
    "no such image": ("image-processing", None, EVERY_LOOK, "there is no object s3://"),
    "a zero-byte image": ("image-processing", b"", EVERY_LOOK, "bad.mp4 is empty"),
    "an image cut short": (
        "image-processing",
        webp()[:200],
        EVERY_LOOK,
        "is damaged or cut short",
    ),
    "a corrupt image": ("image-processing", png()[:20], EVERY_LOOK, "is damaged or cut short"),
    "no image at all": ("image-processing", b"%PDF-1.7", EVERY_LOOK, "is no image of a known kind"),
    "a bomb": ("image-processing", bomb(), EVERY_LOOK, "40000 x 40000 pixels, more than the 200,000,000"),
    "no such video": ("video-processing", None, VIDEO_OPERATIONS, "there is no object s3://"),
    "a zero-byte video": ("video-processing", b"", VIDEO_OPERATIONS, "cannot be read as a video"),
    "a PNG named .mp4": ("video-processing", png(), VIDEO_OPERATIONS, "cannot be read as a video"),
    "a truncated video": (
        "video-processing",
        media.film(sound=True)[:2000],
        VIDEO_OPERATIONS,
        "cannot be read as a video",
    ),
}


@pytest.mark.parametrize(("job_type", "content", "asked", "reason"), UNUSABLE.values(), ids=UNUSABLE)
async def test_unusable_media_fails_at_once_with_the_reason_and_without_a_charge(
    api: Api,
    resources: Resources,
    standin: StandIn,
    job_type: str,
    content: bytes | None,
    asked: dict[str, bool],
    reason: str,
) -> None:
    if content is not None:
        await api.upload("bad.mp4", content)
    job = await api.run(job_type, {"mediaItemId": "m", "s3Key": "bad.mp4", "operations": asked})
    assert (job["status"], job["attemptsMade"], job["cost"], job["costs"]) == ("failed", 1, 0, [])
    for name in asked:
        assert f"{name}: " in job["failedReason"]
        assert job["progress"]["subTasks"][name]["status"] == "failed"
    assert job["failedReason"].count(reason) == len(asked)
    assert job["stacktrace"] == []
    assert standin.billed() == []
    item = await resources.store.pool.fetchrow("select * from media_items where id = 'm'")
    assert item is not None
    assert (item["processing_status"], item["metadata"]) == ("failed", {})


async def test_a_video_without_sound_is_not_transcribed_and_the_rest_is_kept(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    await api.upload("silent.mp4", media.film(sound=False))
    body = {"mediaItemId": "m", "s3Key": "silent.mp4", "operations": VIDEO_OPERATIONS}
    job = await api.run("video-processing", body)
    assert (job["status"], job["attemptsMade"]) == ("failed", 1)
    assert job["failedReason"] == "transcribe: silent.mp4 has no sound to transcribe"
    assert set(job["returnvalue"]) == {"labels", "thumbnails"}
    assert [call["operation"] for call in standin.billed()] == ["StartLabelDetection"]
    assert [cost["operation"] for cost in job["costs"]] == ["detectLabels"]


async def test_an_idempotency_key_stands_for_one_job(api: Api, resources: Resources) -> None:
    first = await api.post("text-analysis", TEXT, **{"Idempotency-Key": "once"})
    again = await api.post("text-analysis", TEXT, **{"Idempotency-Key": "once"})
    other = await api.post("text-analysis", {**TEXT, "text": "Other."}, **{"Idempotency-Key": "once"})
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 409)
    assert first.json()["id"] == again.json()["id"]
    assert await resources.store.pool.fetchval("select count(*) from jobs") == 1


async def test_problems_are_json_for_routes_and_methods_that_do_not_exist(api: Api) -> None:
    for method, path, status in (("GET", "/nowhere", 404), ("DELETE", "/api/queues", 405)):
        answer = await api.http.request(method, path)
        assert answer.status_code == status
        assert json.loads(answer.content)["error"]
