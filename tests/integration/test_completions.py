"""Jobs that AWS runs by itself end when AWS says so, and all the same where it does not."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import attrs
import pytest
import standin_kit
from house import Api, StandIn
from redis.asyncio import Redis

from mediaq.aws import completions
from mediaq.aws.calls import call
from mediaq.embedded import ports, samples
from mediaq.embedded.standin import create_app
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.notices import Notices, open_notices
from mediaq.pipelines.runner import run_job
from mediaq.resources import Resources, open_resources
from mediaq.settings import Completion, Settings

QUEUE = "video-processing"
BOTH = {"transcribe": True, "detectLabels": True}
LONG, SHORT = "100", "1.5"


def url(standin: StandIn, name: str = "ended") -> str:
    return f"{standin.url}/000000000000/{name}"


@pytest.fixture
def standin(s3_url: str) -> Iterator[StandIn]:
    """A stand-in with two queues, of which mediaq knows `ended`."""
    app = create_app(s3_url=s3_url, queues=("ended", "other"))
    with standin_kit.serving(app) as address:
        yield StandIn(address)


@pytest.fixture
def overrides(standin: StandIn) -> dict[str, str]:
    """Has mediaq hear of ends in time by notices alone."""
    return {
        "AWS_ENDPOINT_URL": standin.url,
        "MEDIAQ_AWS__FIRST_POLL": LONG,
        "MEDIAQ_AWS__LONGEST_POLL": LONG,
        "MEDIAQ_COMPLETION__QUEUE_URL": url(standin),
        "MEDIAQ_COMPLETION__TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:ended",
        "MEDIAQ_COMPLETION__ROLE_ARN": "arn:aws:iam::000000000000:role/rekognition",
    }


@pytest.fixture
def polling(overrides: dict[str, str]) -> None:
    overrides["MEDIAQ_AWS__LONGEST_POLL"] = SHORT


@pytest.fixture
async def clip(api: Api) -> None:
    await api.upload("clip.mp4", samples.film_clip())


def video(**operations: Any) -> dict[str, Any]:
    return {"mediaItemId": "m", "s3Key": "clip.mp4", "operations": operations}


async def send(resources: Resources, standin: StandIn, *bodies: str, queue: str = "ended") -> None:
    for body in bodies:
        await call(resources.tools.aws, "sqs", "send_message", QueueUrl=url(standin, queue), MessageBody=body)


async def left(resources: Resources, standin: StandIn) -> list[str]:
    """What can be received from `ended`."""
    answer = await call(
        resources.tools.aws,
        "sqs",
        "receive_message",
        QueueUrl=url(standin),
        MaxNumberOfMessages=10,
    )
    return [each["Body"] for each in answer.get("Messages", [])]


def notice(job: str) -> str:
    message = {"JobId": job, "Status": "SUCCEEDED", "API": "StartLabelDetection"}
    return json.dumps({"Type": "Notification", "Message": json.dumps(message)})


async def test_jobs_end_when_aws_says_so(api: Api, standin: StandIn, clip: None) -> None:
    job = await api.run(QUEUE, video(**BOTH))
    assert (job["status"], job["attemptsMade"]) == ("completed", 1), job["failedReason"]
    assert {cost["certainty"] for cost in job["costs"]} == {"billed"}
    assert len(standin.billed()) == 2


async def test_a_job_that_failed_at_aws_is_begun_again_when_aws_says_so(
    api: Api, standin: StandIn, clip: None
) -> None:
    standin.fault("StartTranscriptionJob", "fail-job")
    standin.fault("StartLabelDetection", "fail-job")
    job = await api.run(QUEUE, video(**BOTH))
    assert (job["status"], job["attemptsMade"]) == ("completed", 1), job["failedReason"]
    assert len(standin.billed()) == 2


@pytest.mark.parametrize("lost", ["Notify", "ReceiveMessage", "DeleteMessageBatch"])
async def test_jobs_end_soon_though_notices_are_lost(
    polling: None, api: Api, standin: StandIn, clip: None, lost: str
) -> None:
    standin.fault(lost, "error", times=None)
    job = await api.run(QUEUE, video(**BOTH))
    assert (job["status"], job["attemptsMade"]) == ("completed", 1), job["failedReason"]


async def test_what_is_no_notice_or_anothers_is_taken_out_and_hinders_none(
    api: Api, resources: Resources, standin: StandIn, clip: None
) -> None:
    twice = notice("of another system")
    junk = ["no json", "{}", '{"JobId": 5}', '{"detail": ' * 10_000, twice, twice]
    await send(resources, standin, *junk, *junk)
    job = await api.run(QUEUE, video(**BOTH))
    assert (job["status"], job["attemptsMade"]) == ("completed", 1), job["failedReason"]
    assert not set(junk) & set(await left(resources, standin))


@pytest.fixture
async def two(resources: Resources, standin: StandIn) -> AsyncIterator[tuple[Notices, Notices]]:
    """Two processes' notices: the first one's queue stays empty, all come to the second."""
    tools, settings = resources.tools, resources.settings.completion
    async with (
        open_notices(
            tools.aws, tools.redis, attrs.evolve(settings, queue_url=url(standin, "other"))
        ) as first,
        open_notices(tools.aws, tools.redis, settings) as second,
    ):
        yield first, second


async def test_a_notice_reaches_the_process_that_waits_for_it(
    two: tuple[Notices, Notices], resources: Resources, standin: StandIn
) -> None:
    first, second = two
    with first.expecting("mine") as mine, second.expecting("yours") as yours:
        async with asyncio.timeout(10):
            # Both hear by now, and look once more for what they may have missed.
            for told in (mine, yours):
                await told.wait()
                told.clear()
            await send(resources, standin, notice("mine"))
            await mine.wait()
        assert not yours.is_set()


async def test_a_notice_that_others_cannot_be_told_of_stays_in_the_queue(
    resources: Resources, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completions, "HIDDEN", 0)
    tools = resources.tools
    async with (
        Redis(port=ports.free_port()) as away,
        open_notices(tools.aws, away, resources.settings.completion) as alone,
    ):
        with alone.expecting("mine") as mine:
            await send(resources, standin, notice("mine"))
            async with asyncio.timeout(10):
                await mine.wait()
    assert await left(resources, standin) == [notice("mine")]


async def test_a_process_that_stops_does_not_wait_for_the_queue(
    resources: Resources, standin: StandIn
) -> None:
    tools = resources.tools
    async with open_notices(tools.aws, tools.redis, resources.settings.completion) as notices:
        with notices.expecting("mine") as mine:
            async with asyncio.timeout(10):
                await mine.wait()
        begun = time.monotonic()
    assert time.monotonic() - begun < 5


async def test_without_a_queue_nothing_is_received(resources: Resources, standin: StandIn) -> None:
    tools = resources.tools
    async with open_notices(tools.aws, tools.redis, Completion()) as notices:
        with notices.expecting("mine") as mine:
            assert not any(map(notices.comes_for, ("rekognition", "transcribe")))
            await asyncio.sleep(0)
        assert not mine.is_set()
    assert standin.calls() == []


async def silent(_: Any) -> None:
    """Nobody hears of the progress."""


async def test_a_running_job_is_adopted_by_a_worker_with_another_topic(
    api: Api, resources: Resources, settings: Settings, standin: StandIn, clip: None
) -> None:
    """AWS refuses to start a job again under its token with anything changed, its topic included."""
    pipeline, query = PIPELINES[QUEUE], "select count(provider_id) from operation_runs"
    job_id = await api.accept(QUEUE, video(detectLabels=True))
    running = asyncio.create_task(run_job(resources.tools, pipeline, job_id, silent))
    async with asyncio.timeout(20):
        while not await resources.store.pool.fetchval(query):  # noqa: ASYNC110 - another task puts it there
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    changed = attrs.evolve(settings, completion=Completion(), aws=attrs.evolve(settings.aws, first_poll=0.1))
    async with AsyncExitStack() as stack:
        later = await stack.enter_async_context(open_resources(changed))
        await run_job(later.tools, pipeline, job_id, silent)
    assert (await api.job(QUEUE, job_id))["status"] == "completed"
    assert len(standin.billed()) == 1
