"""Who is calling: tokens that are accepted, and the ways in which others are not."""

import base64
import hashlib
import hmac
import json
import ssl
import time
from http import HTTPStatus
from typing import Any

import attrs
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from publisher import Publisher, certified, ec_key, jwk_set, rsa_key
from starlette.requests import Request
from typed_settings.types import SecretStr

from mediaq.service.auth import Caller, open_authenticator, session_cookie
from mediaq.service.csrf import csrf_token
from mediaq.service.problems import Problem
from mediaq.service.tokens import REMEMBERED, Tokens
from mediaq.settings import Auth

pytest_plugins = ["publisher_fixtures"]

SECRET = "a secret of at least thirty-two bytes"
OTHER_SECRET = "another secret of thirty-two bytes"
CLAIMS = {"sub": "ann", "exp": 2**32}
# Read once: it takes a while.
TLS = ssl.create_default_context()
HS256 = Auth(secret=SecretStr(SECRET))


async def caller(token: str, auth: Auth = HS256, scheme: str = "Bearer") -> Caller:
    return await identify([(b"authorization", f"{scheme} {token}".encode())], auth)


async def identify(headers: list[tuple[bytes, bytes]], auth: Auth = HS256, method: str = "GET") -> Caller:
    scope = {"type": "http", "method": method, "headers": headers}
    async with httpx.AsyncClient(verify=TLS) as http, open_authenticator(auth, http) as authenticator:
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


def signed(secret: str = SECRET, /, **claims: Any) -> str:
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


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "é.é.é", "e30.e30.", "a b", "bnVsbA.e30.", "W10.e30."])
async def test_what_is_no_token_is_refused(token: str) -> None:
    assert "the token is not accepted" in await unauthorized(token)


async def test_a_token_that_is_known_is_refused_once_it_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    async with httpx.AsyncClient(verify=TLS) as http, open_authenticator(HS256, http) as authenticator:
        request = Request({"type": "http", "headers": [(b"authorization", f"Bearer {signed()}".encode())]})
        assert await authenticator.caller(request) == await authenticator.caller(request)
        monkeypatch.setattr(time, "time", lambda: 2**32 + HS256.leeway)
        with pytest.raises(Problem, match="the token has expired"):
            await authenticator.caller(request)


async def test_as_many_tokens_are_known_as_fit_those_forgotten_first_that_came_first() -> None:
    tokens = Tokens(HS256, None)
    given = [signed(sub=f"user-{number}") for number in range(REMEMBERED + 1)]
    for token in (*given, given[-1]):
        await tokens.verify(token)
    assert list(tokens._known) == given[1:]
    assert (await tokens.verify(given[0]))["sub"] == "user-0"


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


async def test_a_header_that_is_nested_too_deeply_is_refused() -> None:
    """Whoever can send it need not know any key."""
    header = base64.urlsafe_b64encode(b'{"a":' + b"[" * 20_000).rstrip(b"=").decode()
    assert "the token is not accepted" in await unauthorized(f"{header}.e30.")


@pytest.mark.parametrize("exp", [1e400, "soon", [], {}, None], ids=repr)
async def test_an_expiry_that_is_no_time_is_refused(exp: Any) -> None:
    assert "the token is not accepted" in await unauthorized(signed(exp=exp))


async def test_a_token_is_taken_as_it_is_spelt() -> None:
    """Base64 decoders pass over what is no base64; in a cookie it would be something else."""
    assert "it is no JWT" in await unauthorized(f"{signed()}; Path=/other")


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
    ("name", "claims"),
    [
        ("access.roles.admin", {"access": {"roles": {"admin": True}}}),
        ("https://example.com/admin", {"https://example.com/admin": True}),
    ],
)
async def test_the_admin_claim_may_be_nested_or_have_dots_in_its_name(name: str, claims: Any) -> None:
    auth = attrs.evolve(HS256, admin_claim=name)
    assert (await caller(signed(**claims), auth)).admin
    for other in ({}, {"access": True}, {"access": {"roles": ["admin"]}}, {"admin": True}):
        assert not (await caller(signed(**other), auth)).admin


@pytest.mark.parametrize(
    ("claim", "listed"),
    [
        (["a", "b"], frozenset({"a", "b"})),
        ("a", frozenset({"a"})),
        (["a", 5, None], frozenset({"a"})),
        ([], frozenset()),
        ({"a": 1}, frozenset()),
        (..., frozenset()),
    ],
)
async def test_the_cost_centres_are_those_that_the_token_lists(claim: Any, listed: frozenset[str]) -> None:
    auth = attrs.evolve(HS256, cost_centers_claim="org.centres")
    claims: dict[str, Any] = {} if claim is ... else {"org": {"centres": claim}}
    found = await caller(signed(**claims), auth)
    assert found.cost_centers == listed
    assert [found.may_charge(one) for one in ("a", "b", "c")] == [one in listed for one in ("a", "b", "c")]
    assert (await caller(signed(admin=True), auth)).may_charge("c")
    assert (await caller(signed())).may_charge("c")


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


async def test_a_token_signed_by_a_published_key_names_its_caller(
    publisher: Publisher, key: RSAPrivateKey
) -> None:
    auth = Auth(jwks_url=publisher.url)
    assert await caller(certified(key, admin=True), auth) == Caller("ann", admin=True)
    assert "expired" in await unauthorized(certified(key, exp=1), auth)


async def test_a_key_that_is_not_published_is_refused(publisher: Publisher, key: RSAPrivateKey) -> None:
    auth = Auth(jwks_url=publisher.url)
    assert "no RS256 key 'k2' is published" in await unauthorized(certified(key, kid="k2"), auth)
    assert "Signature verification failed" in await unauthorized(certified(rsa_key()), auth)


async def test_a_token_signed_on_an_elliptic_curve_names_its_caller(publisher: Publisher) -> None:
    key, auth = ec_key(), Auth(jwks_url=publisher.url)
    publisher.answer = jwk_set(e1=key)
    assert await caller(certified(key, "e1"), auth) == Caller("ann", admin=False)
    assert "Signature verification failed" in await unauthorized(certified(ec_key(), "e1"), auth)


async def test_a_key_checks_signatures_of_its_own_kind_only(publisher: Publisher, key: RSAPrivateKey) -> None:
    auth, curve = Auth(jwks_url=publisher.url), ec_key()
    publisher.answer = jwk_set(k1=key, e1=curve)
    assert "no ES256 key 'k1' is published" in await unauthorized(certified(curve, "k1"), auth)
    assert "no RS256 key 'e1' is published" in await unauthorized(certified(key, "e1"), auth)


@pytest.mark.parametrize("kid", [None, ""])
async def test_a_token_has_to_name_its_key(publisher: Publisher, key: RSAPrivateKey, kid: str | None) -> None:
    assert "key" in await unauthorized(certified(key, kid), Auth(jwks_url=publisher.url))


async def test_a_token_of_a_published_key_is_checked_in_full(
    publisher: Publisher, key: RSAPrivateKey
) -> None:
    auth = Auth(jwks_url=publisher.url, audience="web", issuer="us")
    good = {"aud": "web", "iss": "us"}
    assert await caller(certified(key, **good), auth) == Caller("ann", admin=False)
    for bad in ({"aud": "other"}, {"iss": "them"}, {"exp": 1}, {"exp": None}, {"nbf": 2**32}, {"iat": 2**32}):
        await unauthorized(certified(key, **(good | bad)), auth)


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


# Sessions of browsers

TOKEN = signed()


def by_cookie(auth: Auth = HS256, token: str = TOKEN, /, **headers: str) -> list[tuple[bytes, bytes]]:
    """The headers of a request that a session's cookie signs; `_` stands for a hyphen."""
    given = {"cookie": f"other=1; {session_cookie(auth)}={token}", "host": "media.example.com", **headers}
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]


async def forbidden(headers: list[tuple[bytes, bytes]]) -> Problem:
    with pytest.raises(Problem) as refused:
        await identify(headers, method="POST")
    assert refused.value.status == HTTPStatus.FORBIDDEN
    return refused.value


@pytest.mark.parametrize("secure", [True, False])
async def test_a_cookie_names_its_caller(secure: bool) -> None:
    auth = attrs.evolve(HS256, cookie_secure=secure)
    for method in ("GET", "HEAD", "OPTIONS"):
        assert await identify(by_cookie(auth), auth, method) == Caller("ann", admin=False)


async def test_a_cookie_that_others_could_set_is_none_where_cookies_are_secure() -> None:
    """Without the prefix, a neighbour under the same domain could sign a user in as somebody else."""
    with pytest.raises(Problem, match="a token is needed"):
        await identify(by_cookie(attrs.evolve(HS256, cookie_secure=False)))


@pytest.mark.parametrize("token", [signed(OTHER_SECRET), signed(exp=1), "x"])
async def test_a_cookie_is_checked_as_any_token(token: str) -> None:
    with pytest.raises(Problem) as refused:
        await identify(by_cookie(HS256, token))
    assert refused.value.status == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("header", ["x_csrf_token", "x_csrftoken"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_with_its_csrf_token_a_cookie_may_change_things(method: str, header: str) -> None:
    headers = by_cookie(**{header: csrf_token(TOKEN)})
    assert await identify(headers, method=method) == Caller("ann", admin=False)


@pytest.mark.parametrize("given", [None, "", "x", "é", csrf_token(signed(sub="bob")), TOKEN])
async def test_without_its_csrf_token_a_cookie_changes_nothing(given: str | None) -> None:
    problem = await forbidden(by_cookie() if given is None else by_cookie(x_csrf_token=given))
    assert problem.further == {"field": "X-CSRF-Token"}
    assert "csrfToken that POST /api/session answered" in problem.detail


async def test_a_bearer_token_needs_no_csrf_token_and_comes_before_the_cookie() -> None:
    headers = by_cookie(authorization=f"Bearer {signed(sub='bob')}", sec_fetch_site="cross-site")
    assert await identify(headers, method="POST") == Caller("bob", admin=False)
    with pytest.raises(Problem, match="expired"):
        await identify(by_cookie(authorization=f"Bearer {signed(exp=1)}"))


@pytest.mark.parametrize(
    ("said", "same"),
    [
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "cross-site", "origin": "https://media.example.com"}, False),
        # Behind a proxy that asks under another name.
        ({"sec_fetch_site": "same-origin", "origin": "https://www.example.com"}, True),
        ({"origin": "https://media.example.com"}, True),
        ({"origin": "https://media.example.com:8443"}, False),
        ({"origin": "https://example.com"}, False),
        ({"origin": "https://media.example.com.evil.org"}, False),
        ({"origin": "null"}, False),
    ],
)
async def test_a_page_of_another_origin_cannot_use_the_cookie(said: dict[str, str], same: bool) -> None:
    headers = by_cookie(x_csrf_token=csrf_token(TOKEN), **said)
    if same:
        assert await identify(headers, method="POST") == Caller("ann", admin=False)
    else:
        assert "another origin" in (await forbidden(headers)).detail
