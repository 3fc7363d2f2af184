"""Texts of any length through Comprehend: cut within its limits, billed by units, refused in plain words."""

import asyncio
import random
import re
import sys
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from house import Api, StandIn
from store_kit import accepted, started

from mediaq.errors import JobFailed
from mediaq.model import Announcement
from mediaq.pipelines.clock import Clock
from mediaq.pipelines.comprehend import SENTIMENT_BYTES, TEXT_BYTES
from mediaq.pipelines.operation import Work
from mediaq.pipelines.runner import run_job
from mediaq.pipelines.text import TEXT, find_text
from mediaq.resources import Resources

QUEUE = "text-analysis"
ALL = ("detectLanguage", "detectSentiment", "detectEntities", "detectKeyPhrases")
DUTCH = "Het was een prachtige dag en wij hebben samen door de oude straten van de stad gelopen. " * 3


def prose(size: int) -> str:
    """English of at least so many bytes, with people, places, accents and emoji in it."""
    choose = random.Random(1)  # noqa: S311 - not for secrets
    line = "the day was wonderful and Anna Smith came to London on Monday with 35 people 😀 très tired"
    words = line.split()
    sentences: list[str] = []
    while size > 0:
        words_now = choose.choices(words, k=choose.randint(4, 25))
        sentences.append(" ".join(words_now) + choose.choice([". ", "! ", ".\n\n"]))
        size -= len(sentences[-1].encode())
    return "".join(sentences)


def asking(*operations: str, **further: Any) -> dict[str, Any]:
    return {"mediaItemId": "m", "operations": dict.fromkeys(operations, True), **further}


def units(calls: list[dict[str, Any]]) -> dict[str, list[int]]:
    """What was billed for each call, by operation."""
    billed: dict[str, list[int]] = {}
    for call in calls:
        billed.setdefault(call["operation"], []).append(int(Decimal(call["units"])))
    return {name: sorted(found, reverse=True) for name, found in billed.items()}


def ledger(job: dict[str, Any]) -> Counter[tuple[str, int]]:
    return Counter((cost["item"], int(cost["units"])) for cost in job["costs"])


async def test_a_long_text_from_s3_goes_through_all_operations_and_every_call_is_on_the_ledger(
    api: Api, standin: StandIn
) -> None:
    text = prose(300_000)
    await api.upload("long.txt", text.encode())
    job = await api.run(QUEUE, asking(*ALL, s3Key="long.txt"))
    assert job["status"] == "completed", job["failedReason"]
    found = job["returnvalue"]
    assert found["language"][0]["LanguageCode"] == "en"
    assert sum(found["sentiment"]["SentimentScore"].values()) == pytest.approx(1)
    for key in ("entities", "keyPhrases"):
        assert len(found[key]) > 1_000
        ends = [0]
        for span in found[key]:
            assert text[span["BeginOffset"] : span["EndOffset"]] == span["Text"]
            assert ends[-1] <= span["BeginOffset"]
            ends.append(span["EndOffset"])
        assert ends[-1] > len(text) * 0.99
    calls = standin.billed()
    assert {name: len(found) for name, found in units(calls).items()} == {
        "DetectDominantLanguage": 4,
        "DetectSentiment": pytest.approx(64, abs=2),
        "DetectEntities": 4,
        "DetectKeyPhrases": 4,
    }
    assert ledger(job) == Counter((call["item"], int(Decimal(call["units"]))) for call in calls)
    assert {cost["certainty"] for cost in job["costs"]} == {"billed"}


async def test_what_is_found_in_passages_is_what_is_found_in_each_sentence(
    api: Api, standin: StandIn
) -> None:
    sentence = "Anna Smith liked London on Monday. "
    count = 2 * TEXT_BYTES // len(sentence) + 10
    await api.upload("repeated.txt", (sentence * count).encode())
    job = await api.run(QUEUE, asking("detectEntities", s3Key="repeated.txt", languageCode="en"))
    found = [(span["BeginOffset"], span["EndOffset"]) for span in job["returnvalue"]["entities"]]
    in_one = [(0, 10), (17, 23), (27, 33)]
    assert found == [
        (begin + number * len(sentence), end + number * len(sentence))
        for number in range(count)
        for begin, end in in_one
    ]
    assert len(standin.billed()) == 3


@pytest.mark.parametrize(
    ("operation", "most"),
    [
        ("detectLanguage", TEXT_BYTES),
        ("detectSentiment", SENTIMENT_BYTES),
        ("detectEntities", TEXT_BYTES),
        ("detectKeyPhrases", TEXT_BYTES),
    ],
)
async def test_the_last_byte_that_one_request_takes_makes_one_call_and_one_more_makes_two(
    api: Api, standin: StandIn, operation: str, most: int
) -> None:
    """Bytes of UTF-8 limit a request, and characters are billed."""
    assert (SENTIMENT_BYTES, TEXT_BYTES) == (5_000, 100_000)
    fitting = "é" * (most // 2)
    job = await api.run(QUEUE, asking(operation, text=fitting, languageCode="fr"))
    assert job["status"] == "completed", job["failedReason"]
    assert list(units(standin.billed()).values()) == [[most // 2 // 100]]
    standin.clear()
    job = await api.run(QUEUE, asking(operation, text=fitting + "e", languageCode="fr"))
    assert job["status"] == "completed", job["failedReason"]
    [billed] = units(standin.billed()).values()
    # The rest is filled up from the passage before it to what the least charge pays for.
    assert billed == [most // 2 // 100 - 3, 4]
    assert len(job["costs"]) == 2


@pytest.mark.parametrize(("length", "billed"), [(1, 3), (299, 3), (300, 3), (301, 4), (400, 4), (401, 5)])
async def test_begun_units_of_100_characters_are_billed_and_three_at_least(
    api: Api, standin: StandIn, length: int, billed: int
) -> None:
    job = await api.run(QUEUE, asking("detectSentiment", text="ü" * length, languageCode="de"))
    assert units(standin.billed()) == {"DetectSentiment": [billed]}
    assert [cost["units"] for cost in job["costs"]] == [billed]


async def test_a_language_that_only_others_need_is_known_from_a_sample_at_the_least_charge(
    api: Api, standin: StandIn
) -> None:
    text = prose(12_000)
    job = await api.run(QUEUE, asking("detectEntities", text=text))
    assert units(standin.billed()) == {
        "DetectDominantLanguage": [3],
        "DetectEntities": [-(-len(text) // 100)],
    }
    assert job["returnvalue"]["language"][0]["LanguageCode"] == "en"
    standin.clear()
    await api.run(QUEUE, asking("detectLanguage", "detectEntities", text=text))
    assert units(standin.billed())["DetectDominantLanguage"] == [-(-len(text) // 100)]


@pytest.mark.parametrize("operation", ["detectSentiment", "detectEntities", "detectKeyPhrases"])
async def test_a_text_in_a_language_that_is_not_supported_is_refused_before_a_call_is_paid(
    api: Api, standin: StandIn, operation: str
) -> None:
    job = await api.run(QUEUE, asking(operation, text=DUTCH))
    assert (job["status"], job["attemptsMade"]) == ("failed", 1)
    assert job["failedReason"].startswith(
        f"{operation}: {operation} does not support the language that was found in the text, nl (score "
    )
    assert units(standin.billed()) == {"DetectDominantLanguage": [3]}
    assert [cost["operation"] for cost in job["costs"]] == ["detectLanguage"]


@pytest.mark.parametrize(("given", "operations"), [("nl", ["detectLanguage"]), ("pt-BR", ALL), ("EN", ALL)])
async def test_a_language_is_checked_only_where_it_is_told_and_as_far_as_it_matters(
    api: Api, standin: StandIn, given: str, operations: list[str]
) -> None:
    job = await api.run(QUEUE, asking(*operations, text="Um dia bonito.", languageCode=given))
    assert job["status"] == "completed", job["failedReason"]


UNREADABLE: Mapping[str, tuple[bytes | None, str]] = {
    "no such object": (None, "there is no object s3://{bucket}/t.txt"),
    "empty": (b"", "s3://{bucket}/t.txt is empty: there is no text in it"),
    "blank": (b" \n", "s3://{bucket}/t.txt is empty: there is no text in it"),
    "another encoding": ("Hé".encode("utf-16"), "s3://{bucket}/t.txt is a text in UTF-16: save it as UTF-8"),
    "no text": (b"PK\x03\x04\0", "s3://{bucket}/t.txt is no text: byte 4 is NUL"),
    "too large": (b"a" * 2_001, "s3://{bucket}/t.txt has 2001 bytes; at most 2000 are read"),
}


@pytest.fixture
def small(overrides: dict[str, str]) -> None:
    """Has texts in S3 of 2,000 bytes at most; to be named before what uses the settings."""
    overrides["MEDIAQ_TEXT__MOST_BYTES"] = "2000"


@pytest.mark.parametrize(("content", "reason"), UNREADABLE.values(), ids=UNREADABLE)
async def test_an_object_that_cannot_be_read_as_a_text_fails_at_once_without_a_charge(
    small: None, api: Api, standin: StandIn, content: bytes | None, reason: str
) -> None:
    if content is not None:
        await api.upload("t.txt", content)
    job = await api.run(QUEUE, asking("detectEntities", "detectSentiment", s3Key="t.txt", languageCode="en"))
    said = reason.format(bucket=api.bucket)
    assert (job["status"], job["attemptsMade"], job["costs"]) == ("failed", 1, [])
    assert job["failedReason"] == f"detectSentiment: {said}; detectEntities: {said}"
    assert standin.calls() == []


async def test_the_largest_text_that_may_be_read_is_read(small: None, api: Api, standin: StandIn) -> None:
    await api.upload("t.txt", b"a" * 2_000)
    job = await api.run(QUEUE, asking("detectEntities", s3Key="t.txt", languageCode="en"))
    assert job["status"] == "completed"


async def test_a_text_is_read_from_s3_once_for_all_operations_of_a_job(
    api: Api, resources: Resources
) -> None:
    await api.upload("t.txt", b"A fine day.")
    request = {"mediaItemId": "photo", "s3Key": "t.txt", "operations": {"detectEntities": True}}
    work = Work(
        job=await started(resources.store, await accepted(resources.store, request=request)),
        operation="detectEntities",
        tools=resources.tools,
        results={},
        patience=0,
        report=print,
        clock=Clock(60),
        shared={},
    )
    first, second = await asyncio.gather(find_text(work), find_text(work))
    assert first == "A fine day."
    assert first is second is await find_text(work)


async def announce(told: Announcement) -> None:
    """Hears of a job's progress."""


def paid_twice(standin: StandIn) -> int:
    """Billed calls about a passage beyond the first one about it."""
    return sum(count - 1 for count in Counter(call["resource"] for call in standin.billed()).values())


@pytest.mark.usefixtures("impatient")
async def test_an_attempt_that_fails_in_the_middle_pays_for_no_passage_twice(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    text = prose(60_000)
    job_id = await api.accept(QUEUE, asking("detectSentiment", text=text, languageCode="en"))
    heard: list[str] = []

    async def listen(told: Announcement) -> None:
        assert told.progress is not None
        heard.append(told.progress["message"])

    # One of the first calls; others are answered meanwhile.
    standin.fault("DetectSentiment", "error", seconds=1)
    with pytest.raises(JobFailed, match="An internal server error occurred"):
        await run_job(resources.tools, TEXT, job_id, listen)
    paid = len(standin.billed())
    assert paid > 0
    await run_job(resources.tools, TEXT, job_id, announce)
    job = await api.job(QUEUE, job_id)
    assert (job["status"], job["attemptsMade"], job["possibleCost"]) == ("completed", 2, 0)
    assert paid_twice(standin) == 0
    assert len(job["costs"]) == len(standin.billed()) > paid
    assert any(re.fullmatch(r"detectSentiment: passage \d+ of 1\d", message) for message in heard)


async def test_an_attempt_that_is_cut_short_is_taken_up_where_it_was(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    """What was under way when it was cut is seen through, and not asked for again."""
    text = prose(60_000)
    standin.fault("DetectSentiment", "latency", times=None, seconds=0.3)
    job_id = await api.accept(QUEUE, asking("detectSentiment", text=text, languageCode="en"))
    running = asyncio.create_task(run_job(resources.tools, TEXT, job_id, announce))
    await until_answered(resources, 3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await run_job(resources.tools, TEXT, job_id, announce)
    job = await api.job(QUEUE, job_id)
    assert (job["status"], job["possibleCost"]) == ("completed", 0)
    assert paid_twice(standin) == 0
    assert len(job["costs"]) == len(standin.billed())


@pytest.fixture
def soon_past(overrides: dict[str, str]) -> None:
    """Has unanswered calls repeated after some seconds; to be named before what uses the settings."""
    overrides["MEDIAQ_AWS__CALL_TIMEOUT"] = "2"


async def test_after_kill_9_only_passages_that_were_under_way_are_asked_for_again(
    soon_past: None, api: Api, resources: Resources, standin: StandIn
) -> None:
    text = prose(100_000)
    standin.fault("DetectSentiment", "latency", times=None, seconds=0.3)
    job_id = await api.accept(QUEUE, asking("detectSentiment", text=text, languageCode="en"))
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mediaq.cli", "worker", "-q", QUEUE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await until_answered(resources, 9)
    finally:
        worker.kill()
        await worker.wait()
    standin.clear_faults()
    await run_job(resources.tools, TEXT, job_id, announce)
    job = await api.job(QUEUE, job_id)
    assert job["status"] == "completed"
    unknown = [cost for cost in job["costs"] if cost["certainty"] == "possibly_billed"]
    assert paid_twice(standin) <= len(unknown) <= 8
    known = len(job["costs"]) - len(unknown)
    assert known == len({call["resource"] for call in standin.billed()}) > 18


async def until_answered(resources: Resources, count: int) -> None:
    """Waits until so many answers about passages are on record."""
    query = "select count(*) from operation_runs where state = 'part_succeeded'"
    async with asyncio.timeout(30):
        while await resources.store.pool.fetchval(query) < count:  # noqa: ASYNC110 - Postgres has no event for it
            await asyncio.sleep(0.02)


async def test_a_passage_that_is_throttled_is_asked_for_again_and_no_other(
    api: Api, standin: StandIn
) -> None:
    standin.fault("DetectSentiment", "throttle", times=3)
    job = await api.run(QUEUE, asking("detectSentiment", text=prose(30_000), languageCode="en"))
    assert (job["status"], job["attemptsMade"]) == ("completed", 1)
    assert paid_twice(standin) == 0
    assert len(job["costs"]) == len(standin.billed())
    assert len(standin.calls()) == len(standin.billed()) + 3
