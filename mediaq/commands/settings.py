"""The settings in force."""

from __future__ import annotations

import click

from mediaq.settings import load_settings, shown


@click.command()
def config() -> None:
    """Prints the settings in force, secrets masked."""
    for key, value, _ in shown(load_settings()):
        print(f"{key} = {value}")
