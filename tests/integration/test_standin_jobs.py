"""Asynchronous jobs: states, idempotency, pages, failures and limits."""

import asyncio
import uuid
from typing import Any

import media
import pytest
from botocore.exceptions import ClientError
from standin_kit import Aws, Server, labelled, serving, transcribed
from standin_media import film, picture, recording

from mediaq.embedded.standin import Limits, create_app

pytest_plugins = ["standin_fixtures"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def code_of(call: Any) -> str:
    with pytest.raises(ClientError) as caught:
        await call
    return str(caught.value.response["Error"]["Code"])


async def start_video(aws: Aws, place: dict[str, Any], **request: Any) -> str:
    answer = await aws.call("rekognition", "start_label_detection", Video=place, **request)
    return str(answer["JobId"])


async def transcribe(server: Server, aws: Aws, data: bytes, **request: Any) -> dict[str, Any]:
    """Transcribe a recording under a new name, and wait for the end."""
    server.put("media", data)
    name = uuid.uuid4().hex
    media = {"MediaFileUri": f"s3://{server.bucket}/media"}
    every = {"TranscriptionJobName": name, "Media": media, "LanguageCode": "en-US", **request}
    await aws.call("transcribe", "start_transcription_job", **every)
    return await transcribed(aws, name)


class TestVideo:
    async def test_a_job_is_in_progress_before_it_succeeds(self, server: Server, aws: Aws) -> None:
        job = await start_video(aws, server.put("film.mp4", film("red")))
        first = await aws.call("rekognition", "get_label_detection", JobId=job)
        assert (first["JobStatus"], first["Labels"]) == ("IN_PROGRESS", [])
        assert server.bill() == []
        assert (await labelled(aws, job))["JobStatus"] == "SUCCEEDED"

    async def test_the_same_token_gives_the_same_job_and_one_charge(self, server: Server, aws: Aws) -> None:
        place = server.put("film.mp4", film("red"))
        token = uuid.uuid4().hex
        starts = [start_video(aws, place, ClientRequestToken=token) for _ in range(3)]
        jobs = set(await asyncio.gather(*starts))
        assert len(jobs) == 1
        await labelled(aws, *jobs)
        assert await start_video(aws, place, ClientRequestToken=token) in jobs
        assert [call["request_token"] for call in server.calls(billed="true")] == [token]
        other = start_video(aws, place, ClientRequestToken=token, MinConfidence=60)
        assert await code_of(other) == "IdempotentParameterMismatchException"

    async def test_without_a_token_each_start_is_a_job(self, server: Server, aws: Aws) -> None:
        place = server.put("film.mp4", film("red"))
        jobs = {await start_video(aws, place) for _ in range(2)}
        assert len(jobs) == 2
        for job in jobs:
            await labelled(aws, job)

    @pytest.mark.parametrize("data", [b"", b"no film", picture("red"), film("red")[:600], recording()])
    async def test_what_is_no_film_fails(self, server: Server, aws: Aws, data: bytes) -> None:
        job = await start_video(aws, server.put("film.mp4", data))
        answer = await labelled(aws, job)
        assert (answer["JobStatus"], answer["StatusMessage"]) == ("FAILED", "Unsupported codec/format.")
        assert [(call["error"], call["billed"]) for call in server.calls()] == [("FAILED", False)]

    @pytest.mark.parametrize(("codec", "kind"), [("mpeg4", "mp4"), ("libx264", "matroska")])
    async def test_other_codecs_and_containers_fail(
        self, server: Server, aws: Aws, codec: str, kind: str
    ) -> None:
        job = await start_video(aws, server.put("film.mp4", film("red", codec=codec, kind=kind)))
        assert (await labelled(aws, job))["StatusMessage"] == "Unsupported codec/format."

    async def test_labels_come_in_pages(self, server: Server, aws: Aws) -> None:
        job = await start_video(aws, server.put("film.mp4", film("red", "blue")))
        whole = (await labelled(aws, job))["Labels"]
        pages: list[list[dict[str, Any]]] = []
        token: dict[str, str] = {}
        while not pages or token:
            answer = await labelled(aws, job, MaxResults=3, **token)
            assert answer["VideoMetadata"]["DurationMillis"] == 2000
            pages.append(answer["Labels"])
            token = {"NextToken": answer["NextToken"]} if "NextToken" in answer else {}
        assert [len(page) for page in pages[:-1]] == [3] * (len(pages) - 1)
        assert [label for page in pages for label in page] == whole
        # Two samples of red with an orientation, two of blue that are dark besides.
        assert len(whole) == 10

    async def test_a_token_of_another_question_is_refused(self, server: Server, aws: Aws) -> None:
        place = server.put("film.mp4", film("red", "blue"))
        jobs = [await start_video(aws, place) for _ in range(2)]
        token = (await labelled(aws, jobs[0], MaxResults=1))["NextToken"]
        await labelled(aws, jobs[1])
        for request in (
            {"JobId": jobs[0], "NextToken": "bogus"},
            {"JobId": jobs[0], "NextToken": token[:-8]},
            {"JobId": jobs[0], "NextToken": token, "SortBy": "NAME"},
            {"JobId": jobs[1], "NextToken": token},
        ):
            call = aws.call("rekognition", "get_label_detection", **request)
            assert await code_of(call) == "InvalidPaginationTokenException"


class TestSpeech:
    async def test_a_job_is_queued_then_in_progress_then_completed(self, server: Server, aws: Aws) -> None:
        server.put("talk.wav", recording())
        media = {"MediaFileUri": f"s3://{server.bucket}/talk.wav"}
        request = {"TranscriptionJobName": server.bucket, "Media": media, "LanguageCode": "en-US"}
        started = await aws.call("transcribe", "start_transcription_job", **request)
        states = [started["TranscriptionJob"]["TranscriptionJobStatus"]]
        async with asyncio.timeout(10):
            while states[-1] != "COMPLETED":
                answer = await aws.call(
                    "transcribe", "get_transcription_job", TranscriptionJobName=server.bucket
                )
                states.append(answer["TranscriptionJob"]["TranscriptionJobStatus"])
        assert list(dict.fromkeys(states)) == ["QUEUED", "IN_PROGRESS", "COMPLETED"]
        job = answer["TranscriptionJob"]
        assert job["CreationTime"] < job["StartTime"] < job["CompletionTime"]

    async def test_a_name_is_used_once(self, server: Server, aws: Aws) -> None:
        server.put("talk.wav", recording())
        media = {"MediaFileUri": f"s3://{server.bucket}/talk.wav"}
        request = {"TranscriptionJobName": server.bucket, "Media": media, "LanguageCode": "en-US"}
        starts = [aws.call("transcribe", "start_transcription_job", **request) for _ in range(3)]
        answers = await asyncio.gather(*starts, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, ClientError)]
        assert [error.response["Error"]["Code"] for error in refused] == ["ConflictException"] * 2
        await transcribed(aws, server.bucket)
        again = aws.call("transcribe", "start_transcription_job", **request)
        assert await code_of(again) == "ConflictException"
        assert len(server.bill()) == 1

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "Unsupported media format."),
            (b"no sound", "Unsupported media format."),
            (picture("red"), "Unsupported media format."),
            (film("red"), "Unsupported media format."),
            (recording(0.4), "The input media file length is too small."),
            (media.film(5, sound=True, kind="mov"), "Unsupported media format."),
            (media.film(5, sound=True, kind="matroska"), "Unsupported media format."),
            (media.surround_sound(), "Invalid number of channels: number of channels too large."),
        ],
    )
    async def test_what_has_no_usable_audio_fails(
        self, server: Server, aws: Aws, data: bytes, reason: str
    ) -> None:
        job = await transcribe(server, aws, data)
        assert job["TranscriptionJobStatus"] == "FAILED"
        assert job["FailureReason"].startswith(reason)
        assert [(call["error"], call["billed"]) for call in server.calls()] == [("FAILED", False)]

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"MediaFormat": "mp3"}, "The media format provided does not match the detected media format."),
            (
                {"MediaSampleRateHertz": 8000},
                "The sample rate provided does not match the detected sample rate.",
            ),
        ],
    )
    async def test_what_is_not_as_declared_fails(
        self, server: Server, aws: Aws, changes: dict[str, Any], reason: str
    ) -> None:
        assert (await transcribe(server, aws, recording(), **changes))["FailureReason"] == reason

    @pytest.mark.parametrize(
        ("output", "key"),
        [
            (None, "{name}.json"),
            ("mine.json", "mine.json"),
            ("folder/mine.json", "folder/mine.json"),
            ("folder", "folder/{name}.json"),
            ("a/b/", "a/b/{name}.json"),
        ],
    )
    async def test_the_transcript_lies_where_it_was_asked_for(
        self, server: Server, aws: Aws, output: str | None, key: str
    ) -> None:
        request = {"OutputBucketName": server.bucket, **({"OutputKey": output} if output else {})}
        job = await transcribe(server, aws, recording(), **request)
        listed = await aws.call("s3", "list_objects_v2", Bucket=server.bucket)
        name = key.format(name=job["TranscriptionJobName"])
        assert name in [found["Key"] for found in listed["Contents"]]
        uri = job["Transcript"]["TranscriptFileUri"]
        assert uri == f"{server.s3_url}/{server.bucket}/{name}"


async def test_jobs_at_once_are_limited(aws: Aws, server: Server) -> None:
    app = create_app(
        s3_url=server.s3_url, seconds_per_state=60, limits=Limits(video_jobs=2, transcription_jobs=1)
    )
    place = server.put("film.mp4", film("red"))
    media = {"MediaFileUri": f"s3://{server.bucket}/film.mp4"}
    with serving(app) as url:
        async with aws.at(url) as limited:
            starts = [start_video(limited, place) for _ in range(6)]
            answers = await asyncio.gather(*starts, return_exceptions=True)
            refused = [answer for answer in answers if isinstance(answer, ClientError)]
            assert [error.response["Error"]["Code"] for error in refused] == ["LimitExceededException"] * 4
            request = {"Media": media, "LanguageCode": "en-US"}
            start = limited.call("transcribe", "start_transcription_job", TranscriptionJobName="a", **request)
            await start
            more = limited.call("transcribe", "start_transcription_job", TranscriptionJobName="b", **request)
            assert await code_of(more) == "LimitExceededException"


async def test_an_object_that_vanishes_fails_the_job(aws: Aws, server: Server) -> None:
    place = server.put("film.mp4", film("red"))
    s3 = await aws.client("s3")
    with serving(create_app(s3_url=server.s3_url, seconds_per_state=0.5)) as url:
        async with aws.at(url) as patient:
            job = await start_video(patient, place)
            await s3.delete_object(Bucket=server.bucket, Key="film.mp4")
            assert "Unable to get object metadata" in (await labelled(patient, job))["StatusMessage"]
