"""What a data folder keeps between starts besides the servers' data: secrets, and the ports once chosen."""

import json
import os
import secrets
from pathlib import Path

from attrs import asdict, evolve, fields, frozen

from mediaq.embedded import ports


@frozen
class Secrets:
    """Made once, for a new data folder."""

    redis_password: str
    postgres_password: str
    token_secret: str


@frozen
class Ports:
    """The TCP ports on 127.0.0.1."""

    valkey: int
    postgres: int
    s3: int
    standin: int
    api: int


class PortTakenError(Exception):
    """Another program listens on the port that was asked for."""


def keep_secrets(data: Path) -> Secrets:
    """Return the folder's secrets; make them where there are none."""
    file = data / "secrets.json"
    if not file.exists():
        made = Secrets(*(secrets.token_urlsafe(32) for _ in fields(Secrets)))
        write_privately(file, json.dumps(asdict(made)))
    return Secrets(**json.loads(file.read_text()))


def keep_ports(data: Path, *, api: int | None) -> Ports:
    """Return the ports of the last start where they are still free, other free ones elsewhere.

    Args:
        data: The data folder.
        api: The port that the API must have; None leaves the choice.

    Raises:
        PortTakenError: `api` is not free.
    """
    if api is not None and not ports.is_free(api):
        raise PortTakenError(f"Port {api} of 127.0.0.1 is taken by another program; give another one")
    file = data / "ports.json"
    last = json.loads(file.read_text()) if file.exists() else {}
    names = [field.name for field in fields(Ports)]
    fresh = dict(zip(names, ports.free_ports(len(names)), strict=True))
    chosen = Ports(**fresh | {name: port for name, port in last.items() if ports.is_free(port)})
    chosen = evolve(chosen, api=api or chosen.api)
    write_privately(file, json.dumps(asdict(chosen)))
    return chosen


def write_privately(file: Path, text: str) -> None:
    """Replace a file at once by one that only its owner can read; a power cut leaves the one or the other."""
    draft = file.with_name(f"{file.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    with draft.open("w") as target:
        target.write(text)
        target.flush()
        os.fsync(target.fileno())
    draft.rename(file)
