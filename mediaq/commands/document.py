"""What the service tells of itself, without a service."""

from __future__ import annotations

import json

import click

from mediaq.service.endpoints import ENDPOINTS, PUBLIC
from mediaq.service.openapi import describe


@click.command()
def openapi() -> None:
    """Prints the service's OpenAPI document."""
    print(json.dumps(describe(ENDPOINTS, PUBLIC), indent=2, ensure_ascii=False))
