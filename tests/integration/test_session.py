"""A browser exchanges its bearer token for a cookie, works with that, and signs out."""

import time
from http.cookies import Morsel, SimpleCookie

import httpx
import pytest
from house import OTHER, USER, Api, token_for

from mediaq.service.session import CSRF_COOKIE, LONGEST_COOKIE

TEXT = {"mediaItemId": "m", "text": "A fine day by the sea.", "operations": {"detectSentiment": True}}
PATH = "/api/queues/text-analysis"


@pytest.fixture
def plain(overrides: dict[str, str]) -> None:
    """Has cookies sent over plain HTTP; to be named before what uses the settings."""
    overrides["MEDIAQ_AUTH__COOKIE_SECURE"] = "false"


def cookies(answer: httpx.Response) -> dict[str, "Morsel[str]"]:
    return {
        name: one
        for line in answer.headers.get_list("set-cookie")
        for name, one in SimpleCookie(line).items()
    }


async def sign_in(api: Api, user: str = USER) -> str:
    """Signs in as a browser does, which keeps cookies; returns the CSRF token."""
    answer = await api.http.post("/api/session", headers=api.as_user(user))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["csrfToken"])


async def test_a_browser_works_with_the_cookie_alone(plain: None, api: Api) -> None:
    csrf = {"X-CSRF-Token": await sign_in(api)}
    assert (await api.http.get("/api/queues")).status_code == 200
    refused = await api.http.post(PATH, json=TEXT)
    assert (refused.status_code, refused.json()["field"]) == (403, "X-CSRF-Token")
    accepted = await api.http.post(PATH, json=TEXT, headers=csrf)
    assert accepted.status_code == 202
    assert (await api.http.get(accepted.json()["links"]["self"])).json()["data"]["text"] == TEXT["text"]


async def test_signing_out_removes_the_cookies_and_needs_the_csrf_token(plain: None, api: Api) -> None:
    csrf = {"X-CSRF-Token": await sign_in(api)}
    assert (await api.http.delete("/api/session")).status_code == 403
    answer = await api.http.delete("/api/session", headers=csrf)
    assert (answer.status_code, answer.content) == (204, b"")
    assert list(api.http.cookies) == []
    assert (await api.http.get("/api/queues")).status_code == 401


async def test_signing_in_anew_changes_the_user(plain: None, api: Api) -> None:
    first = await sign_in(api)
    await sign_in(api, OTHER)
    refused = await api.http.post(PATH, json=TEXT, headers={"X-CSRF-Token": first})
    assert (refused.status_code, refused.json()["field"]) == (403, "X-CSRF-Token")
    csrf = {"X-CSRF-Token": api.http.cookies[CSRF_COOKIE]}
    accepted = await api.http.post(PATH, json=TEXT, headers=csrf)
    shown = await api.http.get(accepted.json()["links"]["self"], headers=api.as_user(USER))
    assert shown.status_code == 403


async def test_only_a_bearer_token_signs_in(plain: None, api: Api) -> None:
    assert (await api.http.post("/api/session")).status_code == 401
    csrf = {"X-CSRF-Token": await sign_in(api)}
    assert (await api.http.post("/api/session", headers=csrf)).status_code == 401


async def test_the_cookies_are_as_safe_as_browsers_make_them(api: Api) -> None:
    expires = int(time.time()) + 1000
    answer = await api.http.post("/api/session", headers=api.as_user(USER, exp=expires, admin=True))
    csrf = answer.json()["csrfToken"]
    assert answer.json() == {
        "userId": USER,
        "admin": True,
        "expiresAt": expires * 1000,
        "csrfToken": csrf,
    }
    assert answer.headers["cache-control"] == "no-store"
    found = cookies(answer)
    token = found.pop("__Host-mediaq_session")
    assert token.value == token_for(USER, exp=expires, admin=True)
    assert token["httponly"] is True
    readable = found.pop(CSRF_COOKIE)
    assert (readable.value, readable["httponly"], found) == (csrf, "", {})
    for one in (token, readable):
        assert (one["path"], one["domain"], one["samesite"], one["secure"]) == ("/", "", "lax", True)
        assert 990 <= int(one["max-age"]) <= 1000


async def test_cookies_are_sent_over_plain_http_where_the_settings_say_so(plain: None, api: Api) -> None:
    answer = await api.http.post("/api/session", headers=api.as_user(USER))
    assert {name: one["secure"] for name, one in cookies(answer).items()} == {
        "mediaq_session": "",
        CSRF_COOKIE: "",
    }


async def test_a_token_that_no_cookie_holds_is_refused_in_words(api: Api) -> None:
    def sized(length: int) -> dict[str, str]:
        # Base64 writes four characters for three.
        return api.as_user(USER, filling="x" * length)

    def characters(headers: dict[str, str]) -> int:
        return len("__Host-mediaq_session") + len(headers["Authorization"].removeprefix("Bearer "))

    longest = max(length for length in range(2800, 3100) if characters(sized(length)) <= LONGEST_COOKIE)
    assert (await api.http.post("/api/session", headers=sized(longest))).status_code == 200
    answer = await api.http.post("/api/session", headers=sized(longest + 1))
    assert answer.status_code == 422
    assert "go on sending the token itself" in answer.json()["error"]
    assert (await api.http.get("/api/queues", headers=sized(longest + 1))).status_code == 200


@pytest.fixture
def ownership(overrides: dict[str, str]) -> None:
    """Binds keys and cost centers to callers; to be named before what uses the settings."""
    overrides["MEDIAQ_AUTH__S3_KEY_PREFIX"] = "users/{userId}/"
    overrides["MEDIAQ_AUTH__COST_CENTERS_CLAIM"] = "org.centres"


async def test_what_is_anothers_is_refused_with_its_field(ownership: None, api: Api) -> None:
    async def post(caller: dict[str, str], **asked: str) -> httpx.Response:
        body = {"mediaItemId": caller["Authorization"][-9:], "operations": {"detectLabels": True}, **asked}
        return await api.http.post("/api/queues/image-processing", json=body, headers=caller)

    user, admin = api.as_user(USER, org={"centres": ["cc-1"]}), api.as_user("admin", admin=True)
    own = {"s3Key": f"users/{USER}/a.jpg", "costCenter": "cc-1"}
    others = {"s3Key": f"users/{OTHER}/a.jpg", "costCenter": "cc-2"}
    assert (await post(user, **own)).status_code == 202
    for field in ("s3Key", "costCenter"):
        refused = await post(user, **(own | {field: others[field]}))
        assert (refused.status_code, refused.json()["field"]) == (403, field)
    assert (await post(admin, **others)).status_code == 202
