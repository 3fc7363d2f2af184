"""Ends of jobs are told by webhook: at least once, signed, whatever dies, and to those who are listed."""

import asyncio
import json
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import USER, Api, StandIn
from receiver import KEY, SECRET, Receiver
from store_kit import CHARGE, accepted, completed, failed, look, started
from test_wire import write_certificate

from mediaq.delivery import EACH
from mediaq.dispatch import push
from mediaq.errors import FenceLost
from mediaq.model import Job, Settled
from mediaq.queue.backoff import Backoff
from mediaq.resources import Resources, open_resources
from mediaq.settings import Settings
from mediaq.store import attempts, deliveries, erasures, interventions, operations
from mediaq.store.attempts import Ending
from mediaq.store.deliveries import State
from mediaq.store.pool import Store
from mediaq.upkeep import delivering
from mediaq.worker import working

TEXT = "text-analysis"
NOTE = {"mediaItemId": "note", "text": "A day in Paris.", "operations": {"detectSentiment": True}}
IMAGE = {"mediaItemId": "photo", "s3Key": "uploads/none", "operations": {"detectLabels": True}}


@pytest.fixture
def overrides() -> dict[str, str]:
    return {
        "MEDIAQ_WEBHOOKS__HOSTS": '["hooks.example.com", "*.example.org"]',
        "MEDIAQ_WEBHOOKS__INTERNAL_HOSTS": '["127.0.0.1"]',
        "MEDIAQ_WEBHOOKS__PLAIN_HTTP": "true",
        "MEDIAQ_WEBHOOKS__SECRET": SECRET,
        "MEDIAQ_WEBHOOKS__LOOK": "0.05",
    }


@pytest.fixture
def store(resources: Resources) -> Store:
    return resources.store


async def closed(store: Store, url: str, ending: Ending | None = None, **changes: Any) -> Job:
    """Puts a job on record and ends it."""
    job = await started(store, await accepted(store, webhook=url, user_id=USER, **changes))
    await attempts.end(store, job, ending or completed())
    return job


async def rows(store: Store) -> list[dict[str, Any]]:
    return [dict(row) for row in await store.pool.fetch("select * from deliveries order by finished_at, id")]


async def row(store: Store) -> dict[str, Any]:
    [only] = await rows(store)
    return only


async def make_due(store: Store) -> None:
    """Lets the time pass until everything that is pending is sent again."""
    await store.pool.execute("update deliveries set due_at = now() where state = 'pending'")


async def until(look: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(20):
        while not await look():  # noqa: ASYNC110 - it comes true in Postgres, which tells nobody
            await asyncio.sleep(0.02)


async def until_delivered(store: Store, count: int = 1) -> None:
    """Waits until so much is on record as delivered."""

    async def look() -> bool:
        return [row["state"] for row in await rows(store)].count(State.DELIVERED) >= count

    await until(look)


async def until_tried(store: Store, times: int = 1) -> dict[str, Any]:
    """Waits until the one delivery has failed so often; returns its row."""

    async def look() -> bool:
        only = await row(store)
        return only["attempts"] >= times and only["error"] is not None

    await until(look)
    return await row(store)


# Told.


async def test_the_end_of_a_completed_job_is_told_signed_and_soon(api: Api, standin: StandIn) -> None:
    async with Receiver() as receiver:
        url = receiver.url("/hook?token=s3cret")
        job = await api.run(TEXT, {**NOTE, "costCenter": "web", "webhook": {"url": url}})
        [got] = await receiver.wait(seconds=2)
        await until(lambda: shows(api, job["id"], "delivered"))
        assert (got.line, got.headers["host"]) == (
            "POST /hook?token=s3cret HTTP/1.1",
            f"127.0.0.1:{receiver.port}",
        )
        assert got.headers["content-type"] == "application/json"
        assert got.is_signed()
        assert not got.is_signed(b"another key of twenty-four bytes")
        content = got.content
        assert content.pop("timestamp").startswith("20")
        assert content == {
            "type": "job.completed",
            "id": job["id"],
            "jobType": TEXT,
            "status": "completed",
            "mediaItemId": "note",
            "returnvalue": job["returnvalue"],
            "returnvalueLeftOut": False,
            "failedReason": None,
            "attemptsMade": 1,
            "cost": job["cost"],
            "finishedOn": job["finishedOn"],
            "links": job["links"],
        }
        assert job["cost"] > 0
        shown = await api.job(TEXT, job["id"])
        assert shown["webhook"] == {
            "url": receiver.url("/hook"),
            "status": "delivered",
            "attempts": 1,
            "lastError": None,
        }
        assert "s3cret" not in json.dumps(shown)


async def shows(api: Api, job_id: str, status: str) -> bool:
    return bool((await api.job(TEXT, job_id))["webhook"]["status"] == status)


async def test_the_end_of_a_failed_job_is_told_with_its_reason(api: Api, standin: StandIn) -> None:
    async with Receiver() as receiver:
        job = await api.run("image-processing", {**IMAGE, "webhook": {"url": receiver.url()}})
        [got] = await receiver.wait()
        assert (got.content["type"], got.content["status"]) == ("job.failed", "failed")
        assert got.content["failedReason"] == job["failedReason"] != None  # noqa: E711
        assert got.is_signed()


async def test_a_cancelled_job_that_is_run_again_is_told_of_each_time_by_another_id(api: Api) -> None:
    async with Receiver() as receiver:
        job_id = await api.accept(TEXT, {**NOTE, "webhook": {"url": receiver.url()}})
        assert (await api.job(TEXT, job_id))["webhook"]["status"] == "pending"
        path, headers = f"/api/queues/{TEXT}/{job_id}", api.as_user(USER)
        assert (await api.http.delete(path, headers=headers)).json()["status"] == "failed"
        await receiver.wait()
        assert (await api.http.post(f"{path}/retry", headers=headers)).status_code == 202
        await api.http.delete(path, headers=headers)
        first, second = await receiver.wait(2)
        assert first.id != second.id
        for got in (first, second):
            assert (got.content["id"], got.content["failedReason"]) == (job_id, "cancelled")


async def test_a_job_that_does_not_ask_for_it_is_told_to_nobody(api: Api, store: Store) -> None:
    job_id = await api.accept(TEXT, NOTE)
    await api.http.delete(f"/api/queues/{TEXT}/{job_id}", headers=api.as_user(USER))
    assert await rows(store) == []
    assert (await api.job(TEXT, job_id))["webhook"] is None


async def test_whoever_closes_a_job_its_end_is_on_record_with_it(store: Store) -> None:
    """Its worker, its user, the reconciler; and not who has lost it."""
    url = "https://hooks.example.com/"
    stale = await started(store, await accepted(store, webhook=url))
    mine = await started(store, stale, owner="another")
    with pytest.raises(FenceLost):
        await attempts.end(store, stale, completed())
    assert await rows(store) == []
    await attempts.end(store, mine, Ending(mine.status.DELAYED, {}, reason="for now", delay=1))
    assert await rows(store) == []
    await interventions.cancel(store, mine.id, 5)
    await closed(store, url, failed("no such object"), media_item_id="other")
    other = await accepted(store, webhook=url)
    await store.queries.close_job(store.pool, id=other.id, fence=0, failed_reason="poison", traces=[])
    found = await rows(store)
    assert [each["failed_reason"] for each in found] == ["cancelled", "no such object", "poison"]
    assert len({each["id"] for each in found}) == 3


async def test_what_is_told_is_what_was_on_record_at_the_end(store: Store, resources: Resources) -> None:
    job = await started(store, await accepted(store, webhook="", user_id=USER))
    async with Receiver() as receiver:
        await store.pool.execute("update jobs set webhook = $1", receiver.url())
        run = await operations.begin(store, job, "rekognition", "detectLabels", estimate=CHARGE)
        await operations.settle(store, run, Settled([], CHARGE))
        await attempts.end(store, job, failed())
        await interventions.reopen(store, {job.id: await look(store, job)}, 5)
        async with delivering(resources):
            [got] = await receiver.wait()
        assert (got.content["status"], got.content["failedReason"]) == ("failed", "no such object")
        assert got.content["cost"] == float(CHARGE.amount)


async def test_a_large_result_is_left_out(store: Store, resources: Resources) -> None:
    async with Receiver() as receiver, delivering(resources):
        large = Ending(completed().status, {"labels": ["a" * 65536]})
        job = await closed(store, receiver.url(), large)
        [got] = await receiver.wait()
        assert (got.content["returnvalue"], got.content["returnvalueLeftOut"]) == (None, True)
        assert got.content["links"] == {"self": f"/api/queues/image-processing/{job.id}"}


# Told again.


async def test_a_receiver_that_fails_is_told_again_by_the_same_id(store: Store, resources: Resources) -> None:
    answers = iter(["500 Oh", "503 Busy\r\nRetry-After: 100", "404 Where", "204 Done"])
    async with Receiver(lambda _: next(answers)) as receiver, delivering(resources):
        await closed(store, receiver.url())
        waits = []
        for times, error in enumerate(["answered 500", "answered 503", "answered 404"], 1):
            await receiver.wait(times)
            await until(lambda error=error: has_error(store, error))  # type: ignore[misc]
            waits.append(
                await store.pool.fetchval("select extract(epoch from due_at - now()) from deliveries")
            )
            await make_due(store)
        await until_delivered(store)
        got = receiver.got
        assert len(got) == 4
        assert len({each.id for each in got}) == len({each.body for each in got}) == 1
        assert all(each.is_signed() for each in got)
        first, second, third = waits
        assert 3 < first < 7.5
        assert 98 < second <= 100
        assert 18 < third < 25
        assert (await row(store))["error"] == "answered 404"


async def has_error(store: Store, error: str) -> bool:
    only = await row(store)
    return (only["state"], only["error"]) == (State.PENDING, error)


async def test_a_receiver_that_is_down_is_told_when_it_is_back(store: Store, resources: Resources) -> None:
    async with Receiver() as receiver:
        await receiver.close()
        await closed(store, receiver.url())
        async with delivering(resources):
            tried = await until_tried(store)
            assert (tried["state"], tried["error"].partition(":")[0]) == (State.PENDING, "ConnectError")
            await receiver.open()
            await make_due(store)
            [got] = await receiver.wait()
        assert got.id == tried["id"]


async def test_a_redirect_is_not_followed(store: Store, resources: Resources) -> None:
    async with Receiver() as other, Receiver(lambda _: f"307 There\r\nLocation: {other.url()}") as receiver:
        await closed(store, receiver.url())
        async with delivering(resources):
            assert (await until_tried(store))["error"] == "answered 307"
        assert (len(receiver.got), other.got) == (1, [])


async def test_a_receiver_that_is_gone_is_never_told_again(
    store: Store, resources: Resources, warnings: list[str]
) -> None:
    async with Receiver(lambda _: "410 Gone") as receiver, delivering(resources):
        job = await closed(store, receiver.url())
        tried = await until_tried(store)
    assert (tried["state"], tried["error"]) == (State.FAILED, "answered 410")
    assert [text for text in warnings if job.id in text and "given up" in text]


@pytest.fixture
def warnings() -> Any:
    from loguru import logger

    texts: list[str] = []
    sink = logger.add(lambda text: texts.append(str(text)), level="WARNING")
    yield texts
    logger.remove(sink)


async def test_it_is_given_up_after_the_patience_and_shown_as_failed(api: Api, store: Store) -> None:
    async with Receiver(lambda _: "500 Oh") as receiver:
        job = await closed(store, receiver.url())
        await until_tried(store)
        await store.pool.execute(
            "update deliveries set finished_at = now() - interval '25 h', due_at = now()"
        )
        await until_tried(store, 2)
        shown = await api.job("image-processing", job.id)
        assert shown["webhook"] == {
            "url": receiver.url(),
            "status": "failed",
            "attempts": 2,
            "lastError": "answered 500",
        }


def test_waits_come_to_about_a_day(settings: Settings) -> None:
    waits = settings.webhooks
    intervals = Backoff(waits.first_wait, waits.longest_wait).intervals(33)
    assert intervals[:3] == [5, 10, 20]
    assert sum(intervals[:32]) < waits.patience < sum(intervals)


# Others are not held up.


async def test_a_slow_receiver_is_cut_off_and_holds_up_no_other(
    store: Store, overrides: dict[str, str], settings: Settings
) -> None:
    async with Receiver() as slow, Receiver() as quick, AsyncExitStack() as stack:
        slow.free.clear()
        for _ in range(3 * EACH):
            await closed(store, slow.url())
        resources = await stack.enter_async_context(open_resources(settings))
        await stack.enter_async_context(delivering(resources))
        await slow.wait(EACH)
        for _ in range(20):
            await closed(store, quick.url())
        await quick.wait(20, seconds=5)
        assert len(slow.got) == slow.most_at_once == EACH


@pytest.fixture
def hasty(overrides: dict[str, str]) -> None:
    """Gives receivers little time; to be named before what uses the settings."""
    overrides["MEDIAQ_WEBHOOKS__TIMEOUT"] = "0.3"


async def test_a_receiver_that_does_not_answer_in_time_is_told_one_at_a_time(
    hasty: None, store: Store, resources: Resources
) -> None:
    async with Receiver() as receiver:
        receiver.free.clear()
        await closed(store, receiver.url())
        async with delivering(resources):
            assert (await until_tried(store))["error"] == "no answer within 0.3 s"
            for _ in range(3):
                await closed(store, receiver.url())
            await receiver.wait(4)
            assert receiver.most_at_once == 1
            receiver.free.set()
            await make_due(store)
            await until_delivered(store, 4)


# Several processes, and their deaths.


async def test_processes_that_share_the_work_send_each_once(store: Store, settings: Settings) -> None:
    async with Receiver() as receiver, AsyncExitStack() as stack:
        for _ in range(30):
            await closed(store, receiver.url())
        for _ in range(2):
            resources = await stack.enter_async_context(open_resources(settings))
            await stack.enter_async_context(delivering(resources))
        await until_delivered(store, 30)
        assert len(receiver.got) == len({got.id for got in receiver.got}) == 30


CLOSE_AND_DIE = """
import asyncio, os, signal, sys
from mediaq.model import JobStatus
from mediaq.settings import load_settings
from mediaq.store import attempts
from mediaq.store.attempts import Ending
from mediaq.store.pool import open_store

async def main():
    async with open_store(load_settings().database) as store:
        job = await attempts.start(store, sys.argv[1], "me", 60)
        await attempts.end(store, job, Ending(JobStatus.COMPLETED, {"labels": []}))
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_an_end_whose_process_died_right_after_is_told_by_another(
    store: Store, resources: Resources
) -> None:
    async with Receiver() as receiver:
        job = await accepted(store, webhook=receiver.url())
        dying = await asyncio.create_subprocess_exec(sys.executable, "-c", CLOSE_AND_DIE, job.id)
        assert await dying.wait() == -9
        assert (await row(store))["state"] == State.PENDING
        async with delivering(resources):
            [got] = await receiver.wait()
        assert got.content["id"] == job.id


async def test_one_that_was_claimed_by_who_died_is_sent_after_its_lease(
    store: Store, resources: Resources
) -> None:
    async with Receiver() as receiver:
        await closed(store, receiver.url())
        name = f"127.0.0.1:{receiver.port}"
        lost = await deliveries.claim(store, name, 60)
        assert lost is not None
        assert await deliveries.claim(store, name, 60) is None
        await make_due(store)
        async with delivering(resources):
            [got] = await receiver.wait()
            await until_delivered(store)
        assert got.id == lost.id
        # Who was thought dead and says otherwise changes nothing.
        await deliveries.end(store, lost, State.PENDING, "late")
        assert (await row(store))["state"] == State.DELIVERED


async def test_who_failed_late_does_not_put_off_what_another_sends(store: Store) -> None:
    await closed(store, "https://hooks.example.com/")
    late = await deliveries.claim(store, "hooks.example.com", 0)
    again = await deliveries.claim(store, "hooks.example.com", 0)
    assert late is not None
    assert again is not None
    await deliveries.end(store, late, State.FAILED, "late")
    assert (await row(store))["state"] == State.PENDING
    await deliveries.end(store, late, State.DELIVERED)
    await deliveries.end(store, again, State.FAILED, "late too")
    assert (await row(store))["state"] == State.DELIVERED


async def test_a_deleted_item_is_told_of_no_more(store: Store, resources: Resources) -> None:
    async with Receiver() as receiver:
        await closed(store, receiver.url(), media_item_id="gone")
        await closed(store, receiver.url(), media_item_id="stays")
        await erasures.erase(store, "gone", USER, {})
        assert len(await rows(store)) == 1
        async with delivering(resources):
            await until_delivered(store)
        assert [got.content["mediaItemId"] for got in receiver.got] == ["stays"]


# Who may be told.


async def post(api: Api, webhook: Any) -> httpx.Response:
    return await api.post(TEXT, {**NOTE, "webhook": webhook})


async def test_an_accepted_url_is_kept_as_it_is(api: Api, store: Store) -> None:
    url = "https://HOOKS.example.com:8443/a/b?c=d&e=%2F"
    answer = await post(api, {"url": url})
    assert answer.status_code == 202, answer.text
    assert await store.pool.fetchval("select webhook from jobs") == url


async def test_any_other_is_refused_by_its_field_alone_and_in_a_batch(api: Api, store: Store) -> None:
    good, odd = {"url": "https://hooks.example.com/"}, "https://hooks.example.com/"
    table: list[tuple[Any, str, str]] = [
        ({"url": "https://example.com/"}, "webhook.url", "host example.com is not listed in webhooks.hosts"),
        ({"url": "https://user@hooks.example.com/"}, "webhook.url", "a URL like https://host/path is wanted"),
        ({"url": odd + "a" * 2048}, "webhook.url", "Expected `str` of length <= 2048"),
        ({"url": ""}, "webhook.url", "Expected `str` of length >= 1"),
        ({"url": 7}, "webhook.url", "Expected `str`, got `int`"),
        ({"url": odd, "x": 1}, "webhook.x", "unknown field"),
        ({}, "webhook.url", "missing required field"),
        (odd, "webhook", "Expected `object | null`, got `str`"),
    ]
    for webhook, field, reason in table:
        answer = await post(api, webhook)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
        assert reason in answer.json()["error"]
    assert await store.pool.fetchval("select count(*) from jobs") == 0
    jobs = [{**NOTE, "webhook": webhook} for webhook in (good, *(row[0] for row in table))]
    outcomes = (await api.post(f"{TEXT}/batch", {"jobs": jobs})).json()["outcomes"]
    assert [outcome["status"] for outcome in outcomes] == [202] + [422] * len(table)


@pytest.fixture
def unlisted(overrides: dict[str, str]) -> None:
    """Lists nobody; to be named before what uses the settings."""
    overrides["MEDIAQ_WEBHOOKS__HOSTS"] = overrides["MEDIAQ_WEBHOOKS__INTERNAL_HOSTS"] = "[]"


async def test_where_nobody_is_listed_webhooks_are_off(unlisted: None, api: Api) -> None:
    answer = await post(api, {"url": "https://hooks.example.com/"})
    assert (answer.status_code, answer.json()["field"]) == (422, "webhook")
    assert "webhooks are turned off here: webhooks.hosts is empty" in answer.json()["error"]


@pytest.fixture
def secure(overrides: dict[str, str]) -> None:
    """Wants https, and lists localhost; to be named before what uses the settings."""
    overrides["MEDIAQ_WEBHOOKS__PLAIN_HTTP"] = "false"
    overrides["MEDIAQ_WEBHOOKS__INTERNAL_HOSTS"] = '["127.0.0.1", "localhost"]'


async def test_plain_http_is_refused_unless_the_settings_allow_it(secure: None, api: Api) -> None:
    answer = await post(api, {"url": "http://hooks.example.com/"})
    assert (answer.status_code, answer.json()["field"]) == (422, "webhook.url")
    assert "it must begin with https://" in answer.json()["error"]


async def test_one_who_is_not_listed_any_more_is_not_told(store: Store, resources: Resources) -> None:
    await closed(store, "https://former.example.com/")
    async with delivering(resources):
        tried = await until_tried(store)
    assert tried["error"] == "webhook.url: host former.example.com is not listed in webhooks.hosts"
    assert tried["state"] == State.PENDING


@pytest.fixture
def as_public(overrides: dict[str, str]) -> None:
    """Lists localhost as if it were public; to be named before what uses the settings."""
    overrides["MEDIAQ_WEBHOOKS__HOSTS"] = '["localhost"]'


async def test_a_name_whose_address_is_not_public_is_not_told(
    as_public: None, store: Store, resources: Resources
) -> None:
    async with Receiver() as receiver:
        await closed(store, receiver.url(host="localhost"))
        async with delivering(resources):
            tried = await until_tried(store)
        assert tried["error"] == "localhost has an address that is not public"
        assert receiver.got == []


@pytest.mark.parametrize(("host", "told"), [("localhost", True), ("127.0.0.1", False)])
async def test_the_certificate_is_checked_for_the_name(
    secure: None,
    store: Store,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    host: str,
    told: bool,
) -> None:
    """The address that is connected to is another's business: the certificate is for localhost."""
    pem = write_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    async with Receiver(tls=tls) as receiver, open_resources(settings) as resources, delivering(resources):
        await closed(store, receiver.url(host=host))
        if told:
            [got] = await receiver.wait()
            assert got.headers["host"] == f"localhost:{receiver.port}"
        else:
            assert "certificate verify failed" in (await until_tried(store))["error"]
            assert receiver.got == []


@pytest.fixture
def rotated(overrides: dict[str, str]) -> bytes:
    """Has another secret replace the first; to be named before what uses the settings."""
    overrides["MEDIAQ_WEBHOOKS__FORMER_SECRET"] = SECRET
    overrides["MEDIAQ_WEBHOOKS__SECRET"] = "whsec_" + "A" * 32
    return bytes(24)


async def test_while_a_secret_is_replaced_both_sign(
    rotated: bytes, store: Store, resources: Resources
) -> None:
    async with Receiver() as receiver, delivering(resources):
        await closed(store, receiver.url())
        [got] = await receiver.wait()
    assert got.is_signed(KEY)
    assert got.is_signed(rotated)


async def test_a_worker_tells_without_a_service(
    store: Store, resources: Resources, settings: Settings, standin: StandIn
) -> None:
    async with Receiver() as receiver:
        asked = {"type": TEXT, "request": NOTE, "operations": ("detectSentiment",)}
        job = await accepted(store, webhook=receiver.url(), **asked)
        await push(resources, job)
        with working(settings):
            [got] = await receiver.wait()
            await until_delivered(store)
        assert got.content["id"] == job.id
