"""The service's description of itself: the OpenAPI document, and a page made from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response

from mediaq.service.docs_page import render
from mediaq.service.endpoint import Endpoint, Public
from mediaq.service.openapi import describe

ASSETS = Path(__file__).parent / "assets"
# The page has what it needs from the service itself, and runs nothing that stands in it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@frozen(slots=False)
class Document:
    """What the service tells of itself; made when it is first asked for.

    Args:
        endpoints: The routes for callers who are known.
        public: The routes for everybody.
    """

    endpoints: Sequence[Endpoint]
    public: Sequence[Public]

    @cached_property
    def content(self) -> dict[str, Any]:
        """The document as data."""
        return describe(self.endpoints, self.public)

    @cached_property
    def encoded(self) -> bytes:
        """The document in JSON."""
        return msgspec.json.encode(self.content)

    @cached_property
    def page(self) -> bytes:
        """The document as a page."""
        return render(self.content).encode()

    @cached_property
    def etag(self) -> str:
        """Names this version of both."""
        return f'"{sha256(self.encoded + self.page).hexdigest()[:32]}"'


async def get_openapi(request: Request) -> Response:
    """Describes every route as of OpenAPI 3.1; its ETag tells whether it has changed."""
    document: Document = request.app.state.document
    return _unless_known(request, document, document.encoded, "application/json", {})


async def get_docs(request: Request) -> Response:
    """Shows the document as a page, which needs no other host."""
    document: Document = request.app.state.document
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
    return _unless_known(request, document, document.page, "text/html", headers)


def _unless_known(
    request: Request, document: Document, content: bytes, media_type: str, more: dict[str, str]
) -> Response:
    headers = {
        **more,
        "ETag": document.etag,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
    if known & {document.etag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)
