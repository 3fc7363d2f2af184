"""Tables as CSV (RFC 4180), sent piece by piece: however long they are, a page of them is in memory."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from starlette.responses import StreamingResponse

# What spreadsheets take for the start of a formula. Source: OWASP, CSV Injection.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def answer_csv(
    columns: Mapping[str, str], pages: AsyncIterator[list[dict[str, Any]]], name: str
) -> StreamingResponse:
    """Returns a table as a file to be saved.

    Where a page cannot be had, the connection breaks: what was sent is not taken for the whole.

    Args:
        columns: The headers of the columns, by the rows' keys.
        pages: The rows.
        name: The file's name, of plain characters.
    """

    async def write() -> AsyncIterator[str]:
        yield _lines([list(columns.values())])
        async for page in pages:
            yield _lines([_cell(row[key]) for key in columns] for row in page)

    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(write(), headers=headers, media_type="text/csv; charset=utf-8; header=present")


def _lines(rows: Iterable[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case str() if value.startswith(FORMULAS):
            return f"'{value}"
        case _:
            return str(value)
