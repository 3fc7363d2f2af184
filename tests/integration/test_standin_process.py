"""The stand-in as a process: its one line, its exit, and what it remembers after it was killed."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from botocore.exceptions import ClientError
from standin_kit import Aws, Server, labelled, transcribed
from standin_media import film, recording

pytest_plugins = ["standin_fixtures"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@frozen
class Started:
    url: str
    process: "subprocess.Popen[str]"


@contextmanager
def started(s3_url: str, *options: str) -> Iterator[Started]:
    command = [sys.executable, "-m", "mediaq.embedded.standin", "--port", "0", "--s3-url", s3_url, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            match = re.fullmatch(r"AWS stand-in ready on (http://127\.0\.0\.1:\d+)\n", line)
            assert match, line
            yield Started(match[1], process)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_one_line_and_leaves_when_told(s3_url: str, number: int) -> None:
    with started(s3_url) as server:
        server.process.send_signal(number)
        output, errors = server.process.communicate(timeout=10)
        assert (server.process.returncode, output, errors) == (0, "", "")


async def sentiment(aws: Aws, text: str) -> None:
    await aws.call("comprehend", "detect_sentiment", Text=text, LanguageCode="en")


async def test_a_killed_stand_in_has_lost_no_answered_call(server: Server, aws: Aws, tmp_path: Path) -> None:
    """Not even where it was killed while it wrote, which leaves half a line of a call not yet answered."""
    file = tmp_path / "ledger.jsonl"
    before: list[dict[str, Any]] = []
    for texts in (("one", "two"), ("three",), ()):
        with started(server.s3_url, "--data", str(file)) as running:
            assert evolve(server, url=running.url).calls() == before
            async with aws.at(running.url) as clients:
                for text in texts:
                    await sentiment(clients, text)
            before = evolve(server, url=running.url).calls()
            running.process.kill()
            running.process.wait()
        file.write_bytes(file.read_bytes() + b'{"calls":[{"id"')
    assert len(before) == 3


async def test_jobs_outlive_the_process(server: Server, aws: Aws, tmp_path: Path) -> None:
    """Open jobs go on, ended ones are known, names and tokens stay taken, nothing is billed twice."""
    place = server.put("film.mp4", film("red"))
    server.put("talk.wav", recording())
    media = {"MediaFileUri": f"s3://{server.bucket}/talk.wav"}
    speech = {"TranscriptionJobName": server.bucket, "Media": media, "LanguageCode": "en-US"}
    request = {"Video": place, "ClientRequestToken": "a-token"}
    with started(server.s3_url, "--data", str(tmp_path), "--seconds-per-state", "0.05") as first:
        async with aws.at(first.url) as clients:
            done = (await clients.call("rekognition", "start_label_detection", **request))["JobId"]
            labels = content(await labelled(clients, done))
        first.process.kill()
    with started(server.s3_url, "--data", str(tmp_path), "--seconds-per-state", "30") as second:
        async with aws.at(second.url) as clients:
            await clients.call("transcribe", "start_transcription_job", **speech)
        second.process.kill()
    with started(server.s3_url, "--data", str(tmp_path), "--seconds-per-state", "0.05") as third:
        async with aws.at(third.url) as clients:
            assert (await transcribed(clients, server.bucket))["TranscriptionJobStatus"] == "COMPLETED"
            assert content(await labelled(clients, done)) == labels
            again = await clients.call("rekognition", "start_label_detection", **request)
            assert again["JobId"] == done
            with pytest.raises(ClientError, match="ConflictException"):
                await clients.call("transcribe", "start_transcription_job", **speech)
        assert [item for item, *_ in evolve(server, url=third.url).bill()] == [
            "rekognition.video.labels",
            "transcribe.batch",
        ]


def content(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


async def test_rates_can_be_given_on_the_command_line(server: Server) -> None:
    options = ("--rate", "DetectLabels=5", "--rate", "DetectText=2.5")
    with started(server.s3_url, *options) as running:
        limits = (await evolve(server, url=running.url).send("GET", "/_standin/limits")).json()
    assert limits["rates"] == {"DetectLabels": 5, "DetectText": 2.5}


@pytest.mark.parametrize("rate", ["DetectLabels", "DetectLabels=many", "DetectLabels=0", "Detect=1"])
async def test_a_bad_rate_on_the_command_line_is_named(rate: str) -> None:
    command = [sys.executable, "-m", "mediaq.embedded.standin", "--s3-url", "http://s3", "--rate", rate]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 2
    assert "Invalid value for --rate" in ended.stderr
