"""What is seen in a film: a job of Rekognition, whose labels come in pages."""

from __future__ import annotations

from functools import partial
from typing import Any

from mediaq.aws.calls import call
from mediaq.aws.limits import VIDEO_JOBS
from mediaq.errors import Refused, StaleToken, TryAgain
from mediaq.model import Charge, Settled
from mediaq.pipelines.film import Film
from mediaq.pipelines.lengths import told_ms
from mediaq.pipelines.metered import copied
from mediaq.pipelines.operation import Request, Work
from mediaq.pipelines.patience import patiently
from mediaq.pipelines.price_list import prices_now
from mediaq.pipelines.provider_jobs import Kind, ProviderJob, State, run_provider_job
from mediaq.pipelines.reuse import find_earlier, same
from mediaq.pipelines.turns import ask
from mediaq.pipelines.video_parameters import VideoLabels, said
from mediaq.settings import Completion, Settings

PRICE = "rekognition.video.labels"
KIND = Kind("rekognition", "Rekognition", "start_label_detection", VIDEO_JOBS)
# 1,000 labels, the most that a page may have, hold the loop for 31 ms while botocore parses them.
PAGE = 250
# AWS, Rekognition, Guidelines and quotas; Working with stored videos.
MOST_BYTES = 10 * 1024**3
LONGEST_MS = 6 * 60 * 60 * 1000
CODEC = "h264"
CONTAINERS = frozenset({"mp4", "mov"})


async def detect_labels(work: Work, film: Film) -> Any:
    """Has Rekognition label the film, and collects all pages.

    Raises:
        Refused: Rekognition does not take such a film.
    """
    if why := unfit_for_rekognition(film):
        raise Refused(f"{film.info.key} {why}", "UnfitVideo")
    asked = said(work.job.request, work.operation, VideoLabels)
    estimate = prices_now().charge(PRICE, film.probe.duration_ms)
    known_by = same(work, asked.as_aws(), asked.as_pages(), film.info.version)
    if known := await find_earlier(work, known_by):
        return await copied(work, "rekognition", estimate.item, known_by, known.result)

    async def start(name: str) -> str:
        return await _start(work, name, film, asked)

    async def collect(job_id: str) -> Settled:
        labels, length = await patiently(work, lambda: _read_pages(work, job_id, asked))
        return Settled(labels, prices_now().charge(PRICE, length), request_id=job_id)

    job = ProviderJob(KIND, estimate, known_by.fingerprint, start, partial(_look, work), collect)
    return await run_provider_job(work, job)


def estimate_labels(request: Request, settings: Settings) -> tuple[Charge, ...]:
    """Prices the labels of a film of which the length alone is told."""
    return (prices_now().charge(PRICE, told_ms(request, settings, LONGEST_MS)),)


def unfit_for_rekognition(film: Film) -> str | None:
    """Says why Rekognition would refuse a film, or None where nothing speaks against it."""
    probe = film.probe
    if probe.video_codec != CODEC or probe.container not in CONTAINERS:
        found = f"{probe.video_codec} in a {probe.container} file"
        return f"is {found}; Rekognition takes {CODEC} in an mp4 or mov file"
    if film.info.size > MOST_BYTES:
        return f"has {film.info.size} bytes; Rekognition takes at most {MOST_BYTES}"
    if probe.duration_ms > LONGEST_MS:
        return f"lasts {probe.duration_ms // 1000} s; Rekognition takes at most {LONGEST_MS // 1000}"
    return None


async def _start(work: Work, name: str, film: Film, asked: VideoLabels) -> str:
    started = await call(
        work.tools.aws,
        KIND.service,
        KIND.start,
        Video={"S3Object": {"Bucket": film.info.bucket, "Name": film.info.key}},
        ClientRequestToken=name,
        **_channel(work.tools.settings.completion),
        **asked.as_aws(),
    )
    job_id: str = started["JobId"]
    return job_id


def _channel(completion: Completion) -> dict[str, Any]:
    if not completion.topic_arn:
        return {}
    return {
        "NotificationChannel": {"SNSTopicArn": completion.topic_arn, "RoleArn": completion.role_arn},
    }


async def _look(work: Work, job_id: str) -> State:
    # A page of one label: the pages are read once, when all of them are there.
    found = await _get(work, job_id, MaxResults=1)
    return State(found["JobStatus"], found.get("StatusMessage"))


async def _read_pages(work: Work, job_id: str, asked: VideoLabels) -> tuple[list[Any], int]:
    """Reads all pages; where one is not answered for now, it goes on at that page.

    Raises:
        TryAgain: The token of a page is no longer good: the pages are to be read from the first.
    """
    labels: list[Any] = []
    page = {"MaxResults": PAGE, **asked.as_pages()}
    while True:
        try:
            found = await patiently(work, partial(_get, work, job_id, **page))
        except StaleToken as stale:
            raise TryAgain(str(stale), stale.code) from stale
        labels += found["Labels"]
        if not found.get("NextToken"):
            return labels, found["VideoMetadata"]["DurationMillis"]
        page["NextToken"] = found["NextToken"]


async def _get(work: Work, job_id: str, **page: Any) -> dict[str, Any]:
    try:
        return await ask(work, "rekognition", "get_label_detection", JobId=job_id, **page)
    except StaleToken as stale:
        if "NextToken" in page:
            raise
        raise TryAgain(str(stale), stale.code) from stale
