"""How answers are put on record: many at once, each with its result, its cost and its vectors together."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from mediaq.model import Charge
from mediaq.store.borrowed import Connection
from mediaq.store.writer import Act, Row


def priced(charge: Charge | None) -> Row:
    """Returns a charge as columns of `cost_entries`; None: they are null, for there is none."""
    if charge is None:
        return dict.fromkeys(("item", "units", "unit", "unit_price", "price_version", "amount"))
    return {
        "item": charge.item,
        "units": charge.units,
        "unit": charge.unit,
        "unit_price": charge.unit_price,
        "price_version": charge.price_version,
        "amount": charge.amount,
    }


async def _settle(queries: Any, connection: Connection, rows: list[Row]) -> Mapping[int, Any]:
    answers = [{"n": row["n"], "run_id": row["run"].id, "result": row["settled"].result} for row in rows]
    states = {row["n"]: row["state"] async for row in queries.settle_runs(connection, rows=answers)}
    charged = [row for row in rows if row["settled"].charge is not None]
    amounts = await _settle_costs(queries, connection, charged)
    await _put_vectors(queries, connection, [row for row in rows if states.get(row["n"]) == "succeeded"])
    return {row["n"]: (states.get(row["n"]), amounts.get(row["n"])) for row in rows}


async def _put_vectors(queries: Any, connection: Connection, rows: list[Row]) -> None:
    newest = {
        (row["run"].job.media_item_id, vector.model, len(vector.values)): vector
        for row in rows
        for vector in row["settled"].vectors
    }
    if not newest:
        return
    names = ("media_item_id", "model", "dimensions")
    vectors = [
        {**dict(zip(names, key, strict=True)), "vector": vector.values, "metadata": vector.metadata}
        for key, vector in newest.items()
    ]
    await queries.put_vectors(connection, rows=vectors)
    chunks = [
        {**dict(zip(names, key, strict=True)), "n": n, "vector": chunk.values, "metadata": chunk.place}
        for key, vector in newest.items()
        for n, chunk in enumerate(vector.chunks)
    ]
    if chunks:
        await queries.put_chunks(connection, rows=chunks)


async def _settle_costs(queries: Any, connection: Connection, rows: list[Row]) -> dict[int, Decimal]:
    """Returns what each call costs, by the rows' `n`."""
    charges = {row["n"]: row["settled"].charge for row in rows}
    tiered = [
        {
            "n": row["n"],
            "run_id": row["run"].id,
            "item": charges[row["n"]].item,
            "units": charges[row["n"]].units,
        }
        for row in rows
        if charges[row["n"]].tiers
    ]
    if tiered:
        async for used in queries.add_usage(connection, rows=tiered):
            charges[used["n"]] = charges[used["n"]].after(used["before"])
    if rows:
        await queries.settle_costs(connection, rows=[_cost(row, charges[row["n"]]) for row in rows])
    return {n: charge.amount for n, charge in charges.items()}


def _cost(row: Row, charge: Charge) -> Row:
    run = row["run"]
    return {
        "n": row["n"],
        "run_id": run.id,
        "job_id": run.job.id,
        "service": run.service,
        "operation": run.operation,
        "certainty": row["certainty"],
        "request_id": row["settled"].request_id,
        **priced(charge),
    }


# Its rows have the `run` that was answered, what it is `settled` by, and the `certainty` of its cost; its
# answers are the run's state from then on, and what the call costs, if anything.
SETTLE = Act(_settle)
