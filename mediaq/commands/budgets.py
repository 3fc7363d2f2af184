"""How budgets stand."""

from __future__ import annotations

import click

from mediaq.commands.database import with_store
from mediaq.commands.tables import make_table, print_table
from mediaq.settings import load_settings
from mediaq.store import budgets as counted
from mediaq.store.budgets import Budget, Kind


@click.command()
@click.option("--user", help="Only this user's.")
@click.option("--cost-center", help="Only this cost center's.")
def budgets(user: str | None, cost_center: str | None) -> None:
    """Shows this month's budgets (UTC) in US dollars: those that a job has been accepted under."""
    caps = load_settings().budgets
    wanted = {Budget(Kind.USER, user or ""), Budget(Kind.COST_CENTER, cost_center or "")}
    table = make_table("whose", "name", "month", "cap", "spent", "reserved")
    for budget, standing in with_store(counted.show).items():
        if (user or cost_center) and budget not in wanted:
            continue
        of = caps.of_user if budget.kind is Kind.USER else caps.of_cost_center
        cap = of(budget.name)
        table.add_row(
            budget.kind,
            budget.name,
            f"{standing.month:%Y-%m}",
            "none" if cap is None else f"{cap.normalize():f}",
            f"{standing.spent.normalize():f}",
            f"{standing.reserved.normalize():f}",
        )
    print_table(table)
