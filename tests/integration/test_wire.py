"""The shared connection: every caller gets its own answer, and nobody is disturbed by another's trouble."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cuttable import Cuttable, pump
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import (
    AuthenticationError,
    NoScriptError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mediaq.embedded import ports
from mediaq.queue.scripts import Script
from mediaq.queue.wire import Wire

pytest_plugins = ["queue_fixtures"]

# Blocks for as long as nobody pushes.
WAIT = ("BLPOP", "nothing", 0)


@pytest.fixture
async def wire(redis: AsyncRedis) -> AsyncIterator[Wire]:
    wire = Wire(redis)
    await wire.connect()
    yield wire
    await wire.close()


def drop(sync: Redis) -> None:
    """End the connections of all other clients."""
    sync.client_kill_filter(_type="normal", skipme=True)


# Answers


async def test_everybody_gets_the_answer_to_what_they_asked(wire: Wire) -> None:
    async def ask(number: int) -> bytes:
        for _ in range(5):
            answer: bytes = await wire.call("ECHO", number)
        return answer

    assert await asyncio.gather(*map(ask, range(200))) == [str(number).encode() for number in range(200)]


async def test_parts_are_sent_as_python_writes_them_and_answers_are_bytes(redis_url: str) -> None:
    async with AsyncRedis.from_url(redis_url, decode_responses=True) as redis:
        wire = Wire(redis)
        await wire.connect()
        await wire.call("RPUSH", "list", "é", b"\xff\r\n", 2**70, 1795999999.123457, -1e-9, "")
        assert await wire.call("LRANGE", "list", 0, -1) == [
            *("é".encode(), b"\xff\r\n", b"1180591620717411303424", b"1795999999.123457", b"-1e-09", b""),
        ]
        assert [await wire.call(*command) for command in (("GET", "no"), ("STRLEN", "no"))] == [None, 0]
        await wire.close()


async def test_values_larger_than_any_buffer_come_back(wire: Wire) -> None:
    values = [bytes([65 + number]) * 3_000_000 for number in range(3)]
    assert await asyncio.gather(*(wire.call("ECHO", value) for value in values)) == values


async def test_calls_of_one_tick_leave_in_few_writes(wire: Wire, sync: Redis) -> None:
    def reads() -> int:
        return int(sync.info("stats")["total_reads_processed"])

    before = reads()
    await asyncio.gather(*(wire.call("PING") for _ in range(160)))
    assert reads() - before < 20


# Errors


async def test_an_error_is_the_answer_of_who_asked_for_it(wire: Wire) -> None:
    commands: list[tuple[str, ...]] = [
        ("PING",),
        ("NO-SUCH-COMMAND",),
        ("EVALSHA", "0" * 40, "0"),
        ("LPUSH",),
        ("PING",),
    ]
    answers = await asyncio.gather(*(wire.call(*command) for command in commands), return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        *(bytes, ResponseError, NoScriptError, ResponseError, bytes),
    ]


async def test_a_part_that_cannot_be_sent_disturbs_nobody(wire: Wire) -> None:
    before = wire.call("ECHO", "a")
    with pytest.raises(TypeError):
        wire.call("ECHO", None)  # type: ignore[arg-type]
    after = wire.call("ECHO", "b")
    assert (await before, await after) == (b"a", b"b")


async def test_a_call_that_is_given_up_is_carried_out_and_disturbs_nobody(wire: Wire) -> None:
    calls = [wire.call("INCR", "count") for _ in range(40)]
    for given_up in (calls[0], calls[20]):
        given_up.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [number for number, answer in enumerate(answers, 1) if answer != number] == [1, 21]
    assert await wire.call("GET", "count") == b"40"


async def test_a_call_with_a_deadline_of_its_own_disturbs_nobody(wire: Wire, sync: Redis) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await wire.call(*WAIT)
    behind = wire.call("PING")
    sync.lpush("nothing", "something")
    assert await behind == b"PONG"


# Lost connections


async def test_a_lost_connection_fails_all_who_wait_and_can_be_made_again(wire: Wire, sync: Redis) -> None:
    calls = [wire.call(*WAIT), *(wire.call("PING") for _ in range(20))]
    await asyncio.sleep(0)
    drop(sync)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} == {RedisConnectionError}
    assert not wire.connected
    with pytest.raises(RedisConnectionError):
        await wire.call("PING")
    await wire.connect()
    assert await wire.call("PING") == b"PONG"


async def test_closing_fails_all_who_wait(wire: Wire) -> None:
    call = wire.call(*WAIT)
    await wire.close()
    for failed in (call, wire.call("PING")):
        with pytest.raises(RedisConnectionError):
            await failed
    assert not wire.connected


async def test_a_connection_that_is_cut_on_the_way_fails_all_who_wait(redis_url: str) -> None:
    address = urlsplit(redis_url)
    async with (
        Cuttable("127.0.0.1", address.port or 0) as relay,
        AsyncRedis(port=relay.port, password=address.password) as redis,
    ):
        wire = Wire(redis)
        await wire.connect()
        call = wire.call(*WAIT)
        await relay.cut()
        for failing in (call, wire.connect()):
            with pytest.raises(RedisConnectionError):
                await failing
        await relay.mend()
        await wire.connect()
        assert await wire.call("PING") == b"PONG"
        await wire.close()


async def test_many_who_connect_at_once_make_one_connection(redis: AsyncRedis, sync: Redis) -> None:
    def made() -> int:
        return int(sync.info("stats")["total_connections_received"])

    before, wire = made(), Wire(redis)
    await asyncio.gather(*(wire.connect() for _ in range(20)))
    assert made() - before == 1
    await wire.close()


async def test_silence_while_an_answer_is_due_counts_as_a_lost_connection(redis: AsyncRedis) -> None:
    wire = Wire(redis, timeout=0.1)
    await wire.connect()
    calls = [wire.call(*WAIT), wire.call("PING")]
    for call in calls:
        with pytest.raises(RedisTimeoutError):
            await call
    assert not wire.connected
    await wire.close()


async def test_silence_while_nothing_was_asked_counts_for_nothing(redis: AsyncRedis) -> None:
    wire = Wire(redis, timeout=0.2)
    await wire.connect()
    assert await wire.call("PING") == b"PONG"
    await asyncio.sleep(0.3)
    assert await wire.call("BLPOP", "nothing", 0.01) is None
    await wire.close()


# The client it is made from


async def test_closing_the_client_closes_the_wires_that_are_tied_to_it_and_no_others(redis_url: str) -> None:
    async with AsyncRedis.from_url(redis_url) as redis:
        free, tied = Wire(redis), Wire(redis, tied=True)
        await free.connect()
        await tied.connect()
        call = tied.call(*WAIT)
    with pytest.raises(RedisConnectionError):
        await call
    assert await free.call("PING") == b"PONG"
    await tied.connect()
    assert await tied.call("PING") == b"PONG"
    await free.close()
    await tied.close()


async def test_the_clients_database_and_name_are_the_wires(redis_url: str) -> None:
    address = urlsplit(redis_url)
    async with AsyncRedis(port=address.port or 0, password=address.password, db=3, client_name="me") as redis:
        wire = Wire(redis)
        await wire.connect()
        info = (await wire.call("CLIENT", "INFO")).split()
        assert {b"db=3", b"name=me", b"resp=2"} <= set(info)
        await wire.close()


async def test_wrong_credentials_and_a_server_that_is_away_are_told_apart(redis_url: str) -> None:
    async with AsyncRedis(port=urlsplit(redis_url).port or 0, password="wrong") as redis:
        with pytest.raises(AuthenticationError):
            await Wire(redis).connect()
    async with AsyncRedis(port=ports.free_port()) as redis:
        with pytest.raises(RedisConnectionError):
            await Wire(redis).connect()


@asynccontextmanager
async def relayed(start: Callable[..., Any], port: int, **options: Any) -> AsyncIterator[asyncio.Server]:
    """Serve the port of a server in another way."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async with await start(relay, **options) as server:
        yield server


async def test_unix_sockets_work(redis_url: str, tmp_path: Path) -> None:
    address, path = urlsplit(redis_url), str(tmp_path / "redis")
    async with (
        relayed(asyncio.start_unix_server, address.port or 0, path=path),
        AsyncRedis(unix_socket_path=path, password=address.password) as redis,
    ):
        await check(redis)


async def test_tls_works(redis_url: str, tmp_path: Path) -> None:
    address, certificate = urlsplit(redis_url), write_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with relayed(asyncio.start_server, address.port or 0, host="127.0.0.1", ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        async with AsyncRedis(
            port=port, password=address.password, ssl=True, ssl_ca_certs=str(certificate)
        ) as redis:
            await check(redis)


async def check(redis: AsyncRedis) -> None:
    """Use a wire made from a client."""
    wire = Wire(redis)
    await wire.connect()
    value = b"a" * 100_000
    assert await asyncio.gather(*(wire.call("ECHO", value) for _ in range(20))) == [value] * 20
    await wire.close()


def write_certificate(folder: Path) -> Path:
    """Make a certificate for localhost that vouches for itself, and its key, in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (path := folder / "localhost.pem").write_bytes(private + certificate.public_bytes(pem))
    return path


# Scripts


def script(text: str) -> Script:
    return Script("test", text, sha1(text.encode(), usedforsecurity=False).hexdigest())


async def test_a_script_that_redis_has_forgotten_runs_all_the_same(wire: Wire, sync: Redis) -> None:
    add = script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await asyncio.gather(*(add.run(wire, ["sum"], [2]) for _ in range(5))) == [2, 4, 6, 8, 10]
    sync.script_flush()
    assert await add.run(wire, ("sum",), (2,)) == 12
    assert sync.script_exists(add.sha) == [True]


async def test_an_error_in_a_script_is_its_callers(wire: Wire) -> None:
    with pytest.raises(ResponseError, match="of its own"):
        await script("return redis.error_reply('ERR of its own')").run(wire, (), ())
