"""What the service logs where something is amiss that is not its own fault: a line, and no traceback."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from house import USER, serving, token_for
from loguru import logger

from mediaq.embedded import ports
from mediaq.service.app import create_app
from mediaq.settings import Settings, load_settings

PATH = "/api/queues/text-analysis"


@pytest.fixture
def trouble() -> Iterator[list[tuple[str, str, bool]]]:
    """Level, message and whether there is a traceback, of each warning and error of the service."""
    found: list[tuple[str, str, bool]] = []

    def keep(message: Any) -> None:
        record = message.record
        found.append((record["level"].name, record["message"], record["exception"] is not None))

    sink = logger.add(keep, level="WARNING", filter="mediaq.service")
    yield found
    logger.remove(sink)


@pytest.fixture
def no_postgres(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://postgres@127.0.0.1:{ports.free_port()}/mediaq")
    return load_settings()


async def test_a_server_that_is_away_is_a_line_for_each_request(
    no_postgres: Settings, trouble: list[tuple[str, str, bool]]
) -> None:
    headers = {"Authorization": f"Bearer {token_for(USER)}"}
    async with serving(no_postgres) as url, httpx.AsyncClient(base_url=url, headers=headers) as http:
        assert (await http.get(f"{PATH}/0123")).status_code == 503
    [(level, message, traceback)] = trouble
    assert (level, traceback) == ("WARNING", False)
    assert message.startswith(f"GET {PATH}/0123 is refused for now: ")


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_fault_of_the_service(
    settings: Settings, trouble: list[tuple[str, str, bool]]
) -> None:
    parts: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"mediaItemId": ', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {token_for(USER)}".encode())]
    scope = {"type": "http", "method": "POST", "path": PATH, "headers": headers, "query_string": b""}
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert trouble == []
