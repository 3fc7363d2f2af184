"""`mediaq costs`: the ledger summed up, and compared with what the stand-in would have billed."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from house import Api, StandIn

from mediaq.embedded import samples
from mediaq.pipelines.catalog import PIPELINES
from mediaq.resources import Resources

TEXT = samples.write_paragraph()
KEYS = {"image-processing": "picture.jpg", "video-processing": "clip.mp4"}
FREE = {"generateThumbnails"}

Told = tuple[int, str, str]


async def tell(*options: str) -> Told:
    """Types `mediaq costs` in the test's environment; returns its exit status, output and complaint."""
    command = [sys.executable, "-m", "mediaq.cli", "costs", *options]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stdout, ended.stderr


def lines(output: str) -> dict[tuple[str, str], tuple[list[str], str]]:
    """The table by item and operation: what the provider, `billed` and `possibly billed` say; the verdict."""
    header, *rows = [line for line in output.splitlines() if line.strip()]
    starts = [header.index(name) for name in ("provider", "billed", "possibly billed", "verdict")]
    found = {}
    for row in rows:
        if row.startswith(" ") and "$" in row:
            item, operation = row[: starts[0]].split()
            cells = [row[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
            found[item, operation] = cells[:3], cells[3]
    return found


def request_for(job_type: str, *operations: str) -> dict[str, Any]:
    named = {"operations": dict.fromkeys(operations, True), "mediaItemId": job_type}
    match job_type:
        case "embedding-generation":
            return {"mediaItemId": "e", "contentType": "text", "content": TEXT}
        case "text-analysis":
            return {"text": TEXT, **named}
        case _:
            return {"s3Key": KEYS[job_type], **named}


@pytest.fixture
async def everything(standin: StandIn, api: Api) -> None:
    """A job of every pipeline with all its operations has run, and one that was answered from the cache."""
    await api.upload(KEYS["image-processing"], samples.draw_picture())
    await api.upload(KEYS["video-processing"], samples.film_clip())
    for job_type in [*PIPELINES, "embedding-generation"]:
        names = [operation.name for operation in PIPELINES[job_type].operations]
        job = await api.run(job_type, request_for(job_type, *names))
        assert job["status"] == "completed", job["failedReason"]


async def test_the_ledger_of_every_operation_is_exact(everything: None) -> None:
    status, output, complaint = await tell("--check")
    assert (status, complaint) == (0, "")
    assert output.splitlines()[-1] == "the ledger: exact"
    found = lines(output)
    for [provider, billed, possible], verdict in found.values():
        assert provider == billed
        assert provider.startswith("1 call, ")
        assert possible == "0 calls, 0 units, $0"
        assert verdict == "exact"
    charged = [
        operation.name
        for pipeline in PIPELINES.values()
        for operation in pipeline.operations
        if operation.name not in FREE
    ]
    assert sorted(operation for _, operation in found) == sorted(charged)


async def test_a_lost_answer_is_within_possibly_billed(standin: StandIn, api: Api) -> None:
    standin.fault("DetectEntities", "drop-after")
    body = {"mediaItemId": "m", "text": TEXT, "languageCode": "en", "operations": {"detectEntities": True}}
    assert (await api.run("text-analysis", body))["status"] == "completed"
    status, output, complaint = await tell("--check")
    assert (status, complaint) == (0, "")
    assert output.splitlines()[-1] == "the ledger: within possibly billed"
    [[provider, billed, possible], verdict] = lines(output)["comprehend.detect-entities", "detectEntities"]
    assert [part.split()[0] for part in (provider, billed, possible)] == ["2", "1", "1"]
    assert verdict == "within possibly billed"


async def test_a_missing_row_is_named_and_the_status_says_so(everything: None, resources: Resources) -> None:
    await resources.store.pool.execute("delete from cost_entries where operation = 'transcribe'")
    status, output, complaint = await tell("--check")
    assert (status, complaint) == (1, "")
    assert lines(output)["transcribe.batch", "transcribe"][1] == "UNDER"
    assert [verdict for _, verdict in lines(output).values()].count("exact") == len(lines(output)) - 1
    assert "\ntranscribe: no cost row for " in output
    assert "-transcribe-0)" in output
    assert output.splitlines()[-1] == "the ledger: UNDER"


async def test_a_billed_row_that_stands_for_no_call_is_named(everything: None, standin: StandIn) -> None:
    await asyncio.to_thread(standin.clear)
    status, output, _ = await tell("--check")
    assert status == 1
    assert {verdict for _, verdict in lines(output).values()} == {"billed without truth"}
    assert "stands for no call of rekognition.image" in output


async def test_many_faults_are_named_in_part(api: Api, resources: Resources, standin: StandIn) -> None:
    body = {"mediaItemId": "m", "text": TEXT, "languageCode": "en", "operations": {"detectEntities": True}}
    await api.run("text-analysis", body)
    await resources.store.pool.execute(
        """insert into cost_entries (user_id, media_item_id, job_id, service, operation, item, units, unit,
                                     unit_price, price_version, amount, certainty)
           select 'u', 'm', 'j' || n, 'rekognition', 'detectText', 'rekognition.image', 1, 'image', 0.001,
                  '2026-09', 0.001, 'billed'
           from generate_series(1, 25) n"""
    )
    status, output, _ = await tell("--check")
    assert status == 1
    assert output.count("stands for no call") == 20
    assert "\n… and 5 more\n" in output


async def test_the_totals_are_apart(standin: StandIn, api: Api) -> None:
    standin.fault("DetectEntities", "drop-after")
    body = {"mediaItemId": "m", "text": "Good day", "languageCode": "en"}
    await api.run("text-analysis", {**body, "operations": {"detectEntities": True}})
    status, output, _ = await tell()
    assert status == 0
    totals = [line.split() for line in output.splitlines() if " total " in line]
    assert totals == [["billed", "total", "0.0003"], ["possibly_billed", "total", "0.0003"]]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--check", "--user", "ann"), "--check compares the whole ledger: leave --user out"),
        (("--user",), "Option '--user' requires an argument"),
    ],
)
async def test_options_that_make_no_sense_are_a_mistake(
    resources: Resources, options: tuple[str, ...], complaint: str
) -> None:
    status, output, said = await tell(*options)
    assert (status, output) == (2, "")
    assert complaint in said


def _unset(monkeypatch: pytest.MonkeyPatch, s3_url: str) -> str:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    return "set AWS_ENDPOINT_URL to the AWS stand-in that the calls went to. AWS itself keeps no such list"


def _closed(monkeypatch: pytest.MonkeyPatch, s3_url: str) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    return "no AWS stand-in answers at http://127.0.0.1:1/_standin/calls (AWS_ENDPOINT_URL): "


def _no_address(monkeypatch: pytest.MonkeyPatch, s3_url: str) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost")
    return "no AWS stand-in answers at localhost/_standin/calls (AWS_ENDPOINT_URL): "


def _another_server(monkeypatch: pytest.MonkeyPatch, s3_url: str) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_url)
    return f"{s3_url} (AWS_ENDPOINT_URL) is no AWS stand-in: it answers 404 to GET {s3_url}/_standin/calls"


@pytest.mark.parametrize("spoil", [_unset, _closed, _no_address, _another_server])
async def test_without_a_stand_in_there_is_nothing_to_compare_with(
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
    s3_url: str,
    spoil: Callable[[pytest.MonkeyPatch, str], str],
) -> None:
    complaint = spoil(monkeypatch, s3_url)
    status, output, said = await tell("--check")
    assert (status, output) == (1, "")
    assert said.startswith(f"mediaq: {complaint}")
    assert said.count("\n") == 1
