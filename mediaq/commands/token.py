"""Tokens for the service, for development."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click
import jwt

from mediaq.errors import MediaqError
from mediaq.service.claims import write_claim
from mediaq.settings import load_settings


@click.command()
@click.argument("user")
@click.option("--admin", is_flag=True, help="Carry the admin claim.")
@click.option("--cost-center", "cost_centers", multiple=True, help="A cost center to list; may be repeated.")
@click.option("--days", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True)
def token(user: str, admin: bool, cost_centers: tuple[str, ...], days: float) -> None:
    """Prints a token for USER, signed with auth.secret; for development."""
    auth = load_settings().auth
    if not auth.secret:
        raise MediaqError("auth.secret is empty; set MEDIAQ_AUTH__SECRET")
    if cost_centers and not auth.cost_centers_claim:
        raise MediaqError("auth.cost_centers_claim is empty; set MEDIAQ_AUTH__COST_CENTERS_CLAIM")
    claims: dict[str, Any] = {"sub": user, "exp": datetime.now(UTC) + timedelta(days=days)}
    if admin:
        write_claim(claims, auth.admin_claim, True)
    if cost_centers:
        write_claim(claims, auth.cost_centers_claim, list(cost_centers))
    claims |= {"aud": auth.audience} if auth.audience else {}
    claims |= {"iss": auth.issuer} if auth.issuer else {}
    print(jwt.encode(claims, str(auth.secret), "HS256"))
