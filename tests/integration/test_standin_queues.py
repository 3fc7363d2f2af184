"""The stand-in's SQS: long polling, redelivery, deletion; and the notices in it, in AWS's shapes."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import aioboto3
import pytest
from attrs import evolve, frozen
from botocore.exceptions import ClientError
from standin_kit import STATE_SECONDS, Aws, Server, serving
from standin_media import film, recording

from mediaq.embedded.standin import create_app

pytest_plugins = ["standin_fixtures"]

TOPIC = "arn:aws:sns:us-east-1:000000000000:ended"
CHANNEL = {"SNSTopicArn": TOPIC, "RoleArn": "arn:aws:iam::000000000000:role/rekognition"}


@frozen
class Sqs:
    """A stand-in's queue."""

    aws: Aws

    async def send(self, body: str) -> None:
        await self._call("send_message", MessageBody=body)

    async def receive(self, wait: int = 0, hidden: int = 30) -> list[dict[str, Any]]:
        answer = await self._call(
            "receive_message", MaxNumberOfMessages=10, WaitTimeSeconds=wait, VisibilityTimeout=hidden
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    async def delete(self, *messages: dict[str, Any]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)]
        assert len((await self._call("delete_message_batch", Entries=entries))["Successful"]) == len(entries)

    async def _call(self, method: str, **request: Any) -> dict[str, Any]:
        return await self.aws.call("sqs", method, QueueUrl=f"{self.aws.url}/000000000000/ended", **request)


@pytest.fixture
def address(s3_url: str) -> Iterator[str]:
    with serving(create_app(s3_url=s3_url, seconds_per_state=STATE_SECONDS, queues=["ended"])) as url:
        yield url


@pytest.fixture
async def sqs(address: str, s3_url: str, aws_session: aioboto3.Session) -> AsyncIterator[Sqs]:
    async with AsyncExitStack() as stack:
        yield Sqs(Aws(address, s3_url, aws_session, stack))


@pytest.fixture
def here(server: Server, address: str) -> Server:
    return evolve(server, url=address)


async def test_a_message_is_received_again_until_it_is_deleted(sqs: Sqs) -> None:
    await sqs.send("one")
    [first] = await sqs.receive(hidden=1)
    assert await sqs.receive() == []
    [again] = await sqs.receive(wait=5)
    assert (again["Body"], again["MessageId"]) == ("one", first["MessageId"])
    await sqs.delete(first)
    await sqs.delete(again)
    assert await sqs.receive(wait=1) == []


async def test_a_receiver_that_waits_has_a_message_when_it_is_sent(sqs: Sqs) -> None:
    waiting = asyncio.create_task(sqs.receive(wait=20))
    await sqs.receive()
    begun = time.monotonic()
    await sqs.send("one")
    assert [each["Body"] for each in await waiting] == ["one"]
    assert time.monotonic() - begun < 5


async def test_a_receiver_that_has_hung_up_takes_nothing(sqs: Sqs) -> None:
    waiting = asyncio.create_task(sqs.receive(wait=20))
    await sqs.receive()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await sqs.receive(wait=1)
    await sqs.send("one")
    assert len(await sqs.receive(wait=5)) == 1


async def test_there_are_no_other_queues(sqs: Sqs) -> None:
    with pytest.raises(ClientError) as caught:
        await sqs.aws.call("sqs", "receive_message", QueueUrl=f"{sqs.aws.url}/000000000000/none")
    assert caught.value.response["Error"]["Code"] == "QueueDoesNotExist"


@pytest.mark.parametrize(("doomed", "status"), [(False, "SUCCEEDED"), (True, "FAILED")])
async def test_rekognition_tells_by_the_topic_that_it_was_given(
    sqs: Sqs, here: Server, doomed: bool, status: str
) -> None:
    if doomed:
        here.fault("StartLabelDetection", "fail-job")
    place = here.put("film.mp4", film("red"))
    request = {"Video": place, "JobTag": "tag", "NotificationChannel": CHANNEL}
    job = (await sqs.aws.call("rekognition", "start_label_detection", **request))["JobId"]
    [message] = await sqs.receive(wait=10)
    body = json.loads(message["Body"])
    assert (body["Type"], body["TopicArn"]) == ("Notification", TOPIC)
    told = json.loads(body["Message"])
    assert (told.pop("JobId"), told.pop("Status")) == (job, status)
    assert told.pop("Timestamp") > 1_600_000_000_000
    assert told == {
        "API": "StartLabelDetection",
        "JobTag": "tag",
        "Video": {"S3ObjectName": "film.mp4", "S3Bucket": here.bucket},
    }


async def test_without_a_topic_rekognition_tells_nobody(sqs: Sqs, here: Server) -> None:
    await sqs.aws.call("rekognition", "start_label_detection", Video=here.put("film.mp4", film("red")))
    async with asyncio.timeout(10):
        while not here.bill():  # noqa: ASYNC110 - the stand-in is another thread's
            await asyncio.sleep(STATE_SECONDS)
    assert await sqs.receive() == []


async def test_transcribe_tells_by_an_event(sqs: Sqs, here: Server) -> None:
    here.put("media", recording())
    name = uuid.uuid4().hex
    media = {"MediaFileUri": f"s3://{here.bucket}/media"}
    await sqs.aws.call(
        "transcribe",
        "start_transcription_job",
        TranscriptionJobName=name,
        Media=media,
        LanguageCode="en-US",
    )
    [message] = await sqs.receive(wait=10)
    event = json.loads(message["Body"])
    assert (event["source"], event["detail-type"]) == ("aws.transcribe", "Transcribe Job State Change")
    assert event["detail"] == {"TranscriptionJobName": name, "TranscriptionJobStatus": "COMPLETED"}
