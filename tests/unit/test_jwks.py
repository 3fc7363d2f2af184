"""The keys of tokens: fetched when they are needed, and no more often; used on while their server is away."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from publisher import Publisher, ec_key, jwk, jwk_set, rsa_key

from mediaq.service.jwks import FRESH, MOST, PAUSE, KeysAway, PublishedKeys, fetch_keys, read_keys

pytest_plugins = ["publisher_fixtures"]

OUTAGE = 1000.0


@attrs.define
class Clock:
    """A clock that goes on when it is told to."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def keys(publisher: Publisher, clock: Clock) -> AsyncIterator[PublishedKeys]:
    async with httpx.AsyncClient() as http:
        keys = PublishedKeys(publisher.url, http, OUTAGE, clock)
        yield keys
        await keys.close()


async def knows(keys: PublishedKeys, kid: str = "k1") -> bool:
    return await keys.find(kid, "RS256") is not None


async def settle() -> None:
    """Waits for what others do in this loop."""
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the server is another thread
            await asyncio.sleep(0.005)


async def test_keys_are_fetched_when_one_is_needed_and_kept_while_they_are_fresh(
    keys: PublishedKeys, publisher: Publisher, clock: Clock
) -> None:
    assert publisher.asked == 0
    assert [await knows(keys) for _ in range(3)] == [True] * 3
    clock.now = FRESH
    assert await knows(keys)
    assert publisher.asked == 1
    clock.now += 1
    assert [await knows(keys) for _ in range(3)] == [True] * 3
    assert publisher.asked == 2


async def test_calls_at_once_share_one_request(keys: PublishedKeys, publisher: Publisher) -> None:
    publisher.free.clear()
    calls = [asyncio.create_task(knows(keys)) for _ in range(20)]
    await until(lambda: publisher.asked > 0)
    publisher.free.set()
    assert await asyncio.gather(*calls) == [True] * 20
    assert publisher.asked == 1


async def test_a_caller_who_leaves_takes_the_request_from_nobody(
    keys: PublishedKeys, publisher: Publisher
) -> None:
    publisher.free.clear()
    leaves, stays = (asyncio.create_task(knows(keys)) for _ in range(2))
    await until(lambda: publisher.asked > 0)
    leaves.cancel()
    await asyncio.wait([leaves])
    publisher.free.set()
    assert await stays
    assert publisher.asked == 1


async def test_a_key_that_is_new_is_fetched_when_a_token_names_it(
    keys: PublishedKeys, publisher: Publisher, clock: Clock, key: RSAPrivateKey
) -> None:
    assert await knows(keys)
    publisher.answer = jwk_set(k1=key, k2=key)
    clock.now = PAUSE
    assert await knows(keys, "k2")
    assert publisher.asked == 2


async def test_a_key_that_is_withdrawn_is_good_no_longer_than_keys_are_fresh(
    keys: PublishedKeys, publisher: Publisher, clock: Clock, key: RSAPrivateKey
) -> None:
    assert await knows(keys)
    publisher.answer = jwk_set(k2=key)
    clock.now = FRESH + 1
    assert not await knows(keys)
    assert await knows(keys, "k2")


async def test_whatever_keys_tokens_name_the_server_is_asked_once_in_a_while(
    keys: PublishedKeys, publisher: Publisher, clock: Clock
) -> None:
    """Who forges tokens cannot have the service hammer the server of the keys."""
    for seconds, requests in ((0, 1), (PAUSE - 1, 1), (PAUSE, 2), (2 * PAUSE - 1, 2), (2 * PAUSE, 3)):
        clock.now = seconds
        forged = await asyncio.gather(*(knows(keys, f"forged {number}") for number in range(50)))
        assert not any(forged)
        assert publisher.asked == requests
    assert await knows(keys)


async def test_while_the_server_is_away_the_known_keys_are_used_for_a_bounded_time(
    keys: PublishedKeys, publisher: Publisher, clock: Clock
) -> None:
    assert await knows(keys)
    publisher.status = 500
    for seconds in (FRESH + 1, FRESH + OUTAGE):
        clock.now = seconds
        assert await knows(keys)
        await settle()
    clock.now += 1
    with pytest.raises(KeysAway):
        await knows(keys)


async def test_an_unknown_key_is_unknown_while_the_server_is_away_and_others_are_known(
    keys: PublishedKeys, publisher: Publisher, clock: Clock
) -> None:
    assert await knows(keys)
    publisher.status, clock.now = 500, PAUSE
    assert not await knows(keys, "k2")
    assert await knows(keys)


async def test_nobody_waits_for_a_server_that_is_known_to_be_away(
    keys: PublishedKeys, publisher: Publisher, clock: Clock
) -> None:
    assert await knows(keys)
    publisher.status, clock.now = 500, FRESH + 1
    assert await knows(keys)
    publisher.free.clear()
    clock.now += PAUSE
    async with asyncio.timeout(1):
        assert await knows(keys)
        assert not await knows(keys, "forged")
        await until(lambda: publisher.asked == 3)
        assert await knows(keys)
        assert not await knows(keys, "forged")


async def test_a_server_that_is_back_is_heard(
    keys: PublishedKeys, publisher: Publisher, clock: Clock, key: RSAPrivateKey
) -> None:
    publisher.status = 503
    with pytest.raises(KeysAway):
        await knows(keys)
    publisher.status, clock.now = 200, PAUSE - 1
    with pytest.raises(KeysAway):
        await knows(keys)
    assert publisher.asked == 1
    clock.now = PAUSE
    with pytest.raises(KeysAway):
        await knows(keys)
    await settle()
    assert await knows(keys)
    assert publisher.asked == 2


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"\xff", b"[]", b"{}", b'{"keys": 5}', b'{"keys": []}', b"[" * 5000, b" " * (MOST + 1)],
    ids=["nothing", "HTML", "no UTF-8", "a list", "no keys", "a number", "empty", "deep", "too long"],
)  # fmt: skip
async def test_what_is_no_set_of_keys_takes_no_key_away(
    keys: PublishedKeys, publisher: Publisher, clock: Clock, answer: bytes
) -> None:
    assert await knows(keys)
    publisher.answer, clock.now = answer, FRESH + 1
    assert await knows(keys)
    assert publisher.asked == 2


async def test_a_redirect_is_not_followed(publisher: Publisher) -> None:
    publisher.status = 302
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.HTTPStatusError):
            await fetch_keys(http, publisher.url)


GOOD, OTHER = rsa_key(), ec_key()


@pytest.mark.parametrize(
    "entry",
    [
        5,
        {},
        jwk(GOOD.public_key(), "bad", kid=...),
        jwk(GOOD.public_key(), "bad", kid=7),
        jwk(GOOD.public_key(), "bad", kty=...),
        jwk(GOOD.public_key(), "bad", kty=["RSA"]),
        jwk(GOOD.public_key(), "bad", use="enc"),
        jwk(GOOD.public_key(), "bad", alg="RS512"),
        jwk(GOOD.public_key(), "bad", alg="HS256"),
        jwk(GOOD.public_key(), "bad", key_ops=["encrypt"]),
        jwk(GOOD.public_key(), "bad", key_ops=5),
        jwk(GOOD.public_key(), "bad", n="AQAB"),
        jwk(GOOD.public_key(), "bad", n=...),
        jwk(GOOD, "bad", key_ops=...),
        jwk(rsa_key(1024).public_key(), "bad", key_ops=...),
        jwk(OTHER.public_key(), "bad", alg="ES384"),
        jwk(generate_ec_key(SECP384R1()).public_key(), "bad", alg=...),
        jwk(OTHER, "bad", key_ops=...),
        {"kid": "bad", "kty": "oct", "k": "c2VjcmV0"},
    ],
)
def test_a_key_that_is_not_for_our_signatures_is_passed_over(entry: Any) -> None:
    published = [entry, jwk(GOOD.public_key(), "r"), jwk(OTHER.public_key(), "e")]
    assert [*read_keys(json.dumps({"keys": published}).encode())] == [("r", "RS256"), ("e", "ES256")]


def test_a_key_allows_what_it_says_nothing_of() -> None:
    said_little = jwk(GOOD.public_key(), "r", use=..., alg=..., key_ops=...)
    assert [*read_keys(json.dumps({"keys": [said_little]}).encode())] == [("r", "RS256")]
