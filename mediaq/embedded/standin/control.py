"""The stand-in's own routes: the ledger of calls, the faults, and the account's limits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
from starlette.responses import Response
from starlette.routing import Route

from mediaq.embedded.standin.book import Entry
from mediaq.embedded.standin.faults import Rule
from mediaq.embedded.standin.invocations import Limits

if TYPE_CHECKING:
    from starlette.requests import Request

    from mediaq.embedded.standin.invocations import Standin

FLAGS = {"true": True, "false": False}


def routes(standin: Standin) -> list[Route]:
    """Return the routes, to be mounted at `/_standin`."""
    handlers = (
        ("/calls", _list_calls, "GET"),
        ("/calls", _clear_calls, "DELETE"),
        ("/faults", _add_fault, "POST"),
        ("/faults", _list_faults, "GET"),
        ("/faults", _clear_faults, "DELETE"),
        ("/faults/{rule}", _drop_fault, "DELETE"),
        ("/limits", _set_limits, "PUT"),
        ("/limits", _show_limits, "GET"),
    )
    return [Route(path, partial(handler, standin), methods=[method]) for path, handler, method in handlers]


async def _list_calls(standin: Standin, request: Request) -> Response:
    wanted = request.query_params.get("billed")
    if wanted is not None and wanted not in FLAGS:
        return _json({"error": f"billed must be true or false, not {wanted!r}"}, 400)
    calls = [call for call in standin.book.calls if wanted is None or call.billed == FLAGS[wanted]]
    return _json({"calls": calls})


async def _clear_calls(standin: Standin, _: Request) -> Response:
    standin.book.commit(Entry(cleared=True))
    return Response(status_code=204)


async def _add_fault(standin: Standin, request: Request) -> Response:
    try:
        rule = msgspec.json.decode(await request.body(), type=Rule)
    except msgspec.DecodeError as error:
        return _json({"error": f"This is no fault: {error}"}, 400)
    standin.faults.rules.append(rule)
    return _json(rule, 201)


async def _list_faults(standin: Standin, _: Request) -> Response:
    return _json({"faults": standin.faults.rules})


async def _clear_faults(standin: Standin, _: Request) -> Response:
    standin.faults.rules.clear()
    return Response(status_code=204)


async def _drop_fault(standin: Standin, request: Request) -> Response:
    rules = standin.faults.rules
    rules[:] = [rule for rule in rules if rule.id != request.path_params["rule"]]
    return Response(status_code=204)


async def _set_limits(standin: Standin, request: Request) -> Response:
    try:
        standin.account.change(_read_limits(await request.body()))
    except (msgspec.MsgspecError, ValueError) as error:
        return _json({"error": f"These are no limits: {error}"}, 400)
    return _json(standin.account.limits)


def _read_limits(body: bytes) -> Limits:
    given = msgspec.json.decode(body, type=dict[str, Any])
    if unknown := sorted(given.keys() - attrs.fields_dict(Limits).keys()):
        raise ValueError(f"there is no limit {', '.join(unknown)}")
    return msgspec.convert(given, Limits)


async def _show_limits(standin: Standin, _: Request) -> Response:
    return _json(standin.account.limits)


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
