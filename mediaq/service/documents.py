"""The service's description of itself: the OpenAPI document, and a page made from it."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from mediaq.service.openapi import Document
from mediaq.service.page import render

ASSETS = Path(__file__).parent / "assets"
# The page has what it needs from the service itself, and runs nothing that stands in it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def get_openapi(request: Request) -> Response:
    """Describes every route as of OpenAPI 3.1; its ETag tells whether it has changed."""
    document: Document = request.app.state.document
    return _unless_known(request, document, document.encoded, "application/json", {})


async def get_docs(request: Request) -> Response:
    """Shows the document as a page, which needs no other host."""
    document: Document = request.app.state.document
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
    return _unless_known(request, document, render(document.content).encode(), "text/html", headers)


def _unless_known(
    request: Request, document: Document, content: bytes, media_type: str, more: dict[str, str]
) -> Response:
    headers = {**more, "ETag": document.etag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
    if known & {document.etag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)
