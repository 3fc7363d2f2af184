"""TCP ports of 127.0.0.1: a free one, and how to know that a server answers on one."""

import asyncio
import socket
from contextlib import ExitStack

import httpx


def free_ports(count: int) -> list[int]:
    """Return different ports that nobody listens on now; another program may still be faster to take one."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


def free_port() -> int:
    """Return a port that nobody listens on now."""
    return free_ports(1)[0]


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


async def listening(port: int) -> bool:
    """Tell whether a server accepts connections on the port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def answering(address: str) -> bool:
    """Tell whether a GET of the URL is answered with a status below 400, within 2 seconds."""
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            return (await client.get(address)).is_success
    except httpx.HTTPError:
        return False
