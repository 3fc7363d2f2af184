"""Sockets that several processes may listen at."""

from __future__ import annotations

import socket

from mediaq.errors import SettingsError


def listen(host: str, port: int, setting: str) -> socket.socket:
    """Returns a socket that listens.

    Args:
        host: Address or name; with a colon: of IPv6.
        port: The port.
        setting: What the port is set by, to be named in an error.

    Raises:
        SettingsError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise SettingsError(f"{setting}: cannot listen at {host}, port {port}: {error}") from None
    # Of several processes that hear of a connection one gets it, and the others must not wait for the next.
    listener.setblocking(False)
    return listener
