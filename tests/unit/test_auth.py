"""Who is calling: tokens that are accepted, and the ways in which others are not."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from starlette.requests import Request
from typed_settings.types import SecretStr

from mediaq.service.auth import Caller, open_authenticator
from mediaq.service.problems import Problem
from mediaq.settings import Auth

SECRET = "a secret of at least thirty-two bytes"
OTHER_SECRET = "another secret of thirty-two bytes"
CLAIMS = {"sub": "ann", "exp": 2**32}
HS256 = Auth(secret=SecretStr(SECRET))


async def caller(token: str, auth: Auth = HS256, scheme: str = "Bearer") -> Caller:
    return await identify([(b"authorization", f"{scheme} {token}".encode())], auth)


async def identify(headers: list[tuple[bytes, bytes]], auth: Auth = HS256) -> Caller:
    scope = {"type": "http", "method": "GET", "headers": headers}
    async with httpx.AsyncClient() as http, open_authenticator(auth, http) as authenticator:
        return await authenticator.caller(Request(scope))


async def refusal(token: str, auth: Auth = HS256) -> Problem:
    with pytest.raises(Problem) as refused:
        await caller(token, auth)
    return refused.value


async def unauthorized(token: str, auth: Auth = HS256) -> str:
    """Check that a token is answered by 401; returns the reason."""
    problem = await refusal(token, auth)
    assert problem.status == HTTPStatus.UNAUTHORIZED
    assert problem.headers == {"WWW-Authenticate": "Bearer"}
    return problem.detail


def signed(secret: str = SECRET, **claims: Any) -> str:
    """A token of HS256; `...` leaves a claim out."""
    kept = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
    return jwt.encode(kept, secret, "HS256")


async def test_a_good_token_names_its_caller() -> None:
    assert await caller(signed()) == Caller("ann", admin=False)
    assert await caller(signed(), scheme="bearer") == Caller("ann", admin=False)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token x"])
async def test_without_a_bearer_token_nobody_is_let_in(header: str | None) -> None:
    headers = [] if header is None else [(b"authorization", header.encode())]
    with pytest.raises(Problem, match="a token is needed") as refused:
        await identify(headers)
    assert refused.value.status == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "é.é.é", "e30.e30.", "a b"])
async def test_what_is_no_token_is_refused(token: str) -> None:
    assert "the token is not accepted" in await unauthorized(token)


async def test_an_expired_token_is_refused_after_the_leeway() -> None:
    just_now = signed(exp=int(time.time()) - 10)
    assert (await caller(just_now, attrs.evolve(HS256, leeway=30))).user_id == "ann"
    assert await unauthorized(just_now, attrs.evolve(HS256, leeway=5)) == (
        "the token has expired: get a new one"
    )


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (signed(OTHER_SECRET), "Signature verification failed"),
        (signed(exp=...), 'missing the "exp" claim'),
        (signed(sub=...), 'missing the "sub" claim'),
        (signed(sub=5), "Subject must be a string"),
        (signed(nbf=2**32), "not yet valid"),
        (jwt.encode(CLAIMS, SECRET + OTHER_SECRET, "HS512"), "algorithm 'HS512' is not accepted"),
        (jwt.encode(CLAIMS, "", "none"), "algorithm 'none' is not accepted"),
    ],
    ids=["signature", "exp", "sub", "sub's type", "nbf", "HS512", "none"],
)
async def test_a_token_that_is_not_as_it_must_be_is_refused(token: str, reason: str) -> None:
    assert reason in await unauthorized(token)


async def test_a_token_whose_claims_were_changed_is_refused() -> None:
    header, _, signature = signed().split(".")
    _, forged, _ = signed(OTHER_SECRET, sub="bob").split(".")
    assert "Signature verification failed" in await unauthorized(f"{header}.{forged}.{signature}")


@pytest.mark.parametrize(
    "sub", ["", "a" * 201, "a\0b", "\ud800"], ids=["empty", "too long", "NUL", "half a pair"]
)
async def test_a_user_id_that_cannot_be_kept_is_refused(sub: str) -> None:
    assert await unauthorized(signed(sub=sub)) == "the token's sub is not a usable user id"


@pytest.mark.parametrize("claim", [True, False, 1, "true", "admin", [True], None, ...])
async def test_an_admin_is_who_carries_the_claim_as_true_and_nothing_else(claim: Any) -> None:
    assert (await caller(signed(admin=claim))).admin is (claim is True)


async def test_the_admin_claim_has_the_configured_name() -> None:
    auth = attrs.evolve(HS256, admin_claim="operator")
    assert (await caller(signed(operator=True), auth)).admin
    assert not (await caller(signed(admin=True), auth)).admin


@pytest.mark.parametrize(
    ("auth", "good", "bad"),
    [(attrs.evolve(HS256, audience="web"), {"aud": "web"}, {"aud": "other"}),
     (attrs.evolve(HS256, issuer="us"), {"iss": "us"}, {"iss": "them"})],
    ids=["audience", "issuer"],
)  # fmt: skip
async def test_audience_and_issuer_are_checked_where_they_are_configured(
    auth: Auth, good: dict[str, str], bad: dict[str, str]
) -> None:
    assert (await caller(signed(**good), auth)).user_id == "ann"
    assert (await caller(signed(**bad))).user_id == "ann"
    await unauthorized(signed(**bad), auth)
    await unauthorized(signed(), auth)


async def test_where_nothing_is_configured_no_token_is_accepted() -> None:
    assert "algorithm 'HS256' is not accepted" in await unauthorized(signed(), Auth())


def test_what_is_anothers_is_for_admins_only() -> None:
    assert Caller("ann", admin=False).may_see("ann")
    assert not Caller("ann", admin=False).may_see("bob")
    assert Caller("ann", admin=True).may_see("bob")


# RS256 by published keys


@attrs.define
class Publisher:
    """A server that publishes keys; what it answers can be changed."""

    url: str = ""
    status: int = 200
    answer: bytes = b""
    asked: int = 0


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def publisher(key: RSAPrivateKey) -> Iterator[Publisher]:
    """A server on this machine that publishes the public key as `k1`."""
    public = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    keys = {"keys": [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]}
    publisher = Publisher(answer=json.dumps(keys).encode())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            publisher.asked += 1
            self.send_response(publisher.status)
            self.send_header("Content-Length", str(len(publisher.answer)))
            self.end_headers()
            self.wfile.write(publisher.answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that is overridden
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        publisher.url = f"http://127.0.0.1:{server.server_port}/keys"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield publisher
        server.shutdown()
        thread.join()


def certified(key: RSAPrivateKey, kid: str = "k1", **claims: Any) -> str:
    return jwt.encode({**CLAIMS, **claims}, key, "RS256", headers={"kid": kid})


async def test_a_token_signed_by_a_published_key_names_its_caller(
    publisher: Publisher, key: RSAPrivateKey
) -> None:
    auth = Auth(jwks_url=publisher.url)
    assert await caller(certified(key, admin=True), auth) == Caller("ann", admin=True)
    assert "expired" in await unauthorized(certified(key, exp=1), auth)


async def test_a_key_that_is_not_published_is_refused(publisher: Publisher, key: RSAPrivateKey) -> None:
    auth = Auth(jwks_url=publisher.url)
    assert "no RS256 key 'k2' is published" in await unauthorized(certified(key, kid="k2"), auth)
    other = generate_private_key(public_exponent=65537, key_size=2048)
    assert "Signature verification failed" in await unauthorized(certified(other), auth)


async def test_rs256_is_refused_where_only_a_secret_is_configured(key: RSAPrivateKey) -> None:
    assert "algorithm 'RS256' is not accepted" in await unauthorized(certified(key))


@pytest.mark.parametrize("configured", [Auth(), HS256], ids=["keys only", "secret and keys"])
async def test_the_public_key_is_no_secret_of_hs256(
    publisher: Publisher, key: RSAPrivateKey, configured: Auth
) -> None:
    """Who knows the published key, as everyone does, must not be able to sign with it."""
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = [{"alg": "HS256", "typ": "JWT", "kid": "k1"}, CLAIMS]
    said = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(public, said, hashlib.sha256)).rstrip(b"=")
    auth = attrs.evolve(configured, jwks_url=publisher.url)
    await unauthorized(f"{said.decode()}.{signature.decode()}", auth)


async def test_a_secret_and_published_keys_are_accepted_side_by_side(
    publisher: Publisher, key: RSAPrivateKey
) -> None:
    auth = attrs.evolve(HS256, jwks_url=publisher.url)
    assert await caller(signed(), auth) == await caller(certified(key), auth) == Caller("ann", admin=False)


@pytest.mark.parametrize(
    ("status", "answer"), [(500, b"{}"), (404, b""), (200, b"<html>"), (200, b"\xff")]
)  # fmt: skip
async def test_keys_that_cannot_be_fetched_are_the_services_trouble_and_not_the_callers(
    publisher: Publisher, key: RSAPrivateKey, status: int, answer: bytes
) -> None:
    publisher.status, publisher.answer = status, answer
    problem = await refusal(certified(key), Auth(jwks_url=publisher.url))
    assert problem.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert "the server that publishes the tokens' keys cannot be reached" in problem.detail


async def test_where_the_publisher_is_away_the_service_is_unavailable(key: RSAPrivateKey) -> None:
    problem = await refusal(certified(key), Auth(jwks_url="http://127.0.0.1:1/keys"))
    assert problem.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert problem.headers == {"Retry-After": "5"}
