"""Sends a signed message to a URL that somebody else has named, and to no address that is not public."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import socket
import time
from collections.abc import Sequence

import httpx
from attrs import frozen

from mediaq.errors import Undelivered
from mediaq.fields import signing_key

# Seconds that a connection may take.
CONNECT = 5.0
# RFC 4291, 2.4 and IANA: what is public of IPv6. What is outside may lead to IPv4's, as 64:ff9b::/96 does.
PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")


@frozen
class Message:
    """What is sent.

    Args:
        id: Its id, the same however often it is sent; without a full stop.
        body: JSON.
    """

    id: str
    body: bytes


@frozen
class Answer:
    """What a receiver says.

    Args:
        status: HTTP's status.
        retry_after: Seconds that it wants to be left alone for; 0 where it says nothing of that.
    """

    status: int
    retry_after: float


def sign(message: Message, secrets: Sequence[str], timestamp: int) -> dict[str, str]:
    """Returns a message's headers by Standard Webhooks 1.0.

    Args:
        message: The message.
        secrets: Each signs, in the form of `signing_key`.
        timestamp: When it is sent, in seconds since the epoch.
    """
    signed = b".".join((message.id.encode(), str(timestamp).encode(), message.body))
    digests = (hmac.digest(signing_key(secret), signed, hashlib.sha256) for secret in secrets)
    return {
        "webhook-id": message.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }


def open_transport() -> httpx.AsyncHTTPTransport:
    """Returns what `post` sends by: it keeps no cookies, follows no redirects and knows of no proxies.

    It keeps no connections either. They are known by their address, and one whose certificate was checked for
    one host's name would be used for another's at the same address.
    """
    return httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=None, max_keepalive_connections=0))


async def find_addresses(host: str, port: int, *, internal: bool) -> list[str]:
    """Returns the addresses of a host, in the order in which to try them.

    Args:
        host: Its name or address.
        port: The port.
        internal: Whether they need not be public.

    Raises:
        Undelivered: It has none, or one that it should not have.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Undelivered(f"{host} has no address") from error
    addresses = [str(address[0]) for *_, address in found]
    if not internal and not all(map(is_public, addresses)):
        # Not which: who is told this may not know what is inside.
        raise Undelivered(f"{host} has an address that is not public")
    return addresses


def is_public(address: str) -> bool:
    """Tells whether an address is one of the public internet, and none that leads elsewhere in disguise."""
    found = ipaddress.ip_address(address)
    if not found.is_global or found.is_multicast:
        return False
    return found.version == 4 or (found in PUBLIC_IPV6 and found.sixtofour is None)


async def post(
    transport: httpx.AsyncBaseTransport,
    url: str,
    addresses: Sequence[str],
    message: Message,
    secrets: Sequence[str],
) -> Answer:
    """Sends a message to one of the addresses: the first that takes a connection.

    The URL's name is what the certificate is checked for, and what the receiver is told, but it is not looked
    up again: it might have another address by then. Of the answer nothing but its head is read.

    Args:
        transport: As of `open_transport`.
        url: Where to.
        addresses: Of the URL's host, at least one.
        message: The message.
        secrets: Each signs.

    Raises:
        Undelivered: It cannot be reached, or does not speak HTTP.
    """
    target = httpx.URL(url)
    headers = {
        "Host": target.netloc.decode("ascii"),
        "Content-Type": "application/json",
        "User-Agent": "mediaq",
        **sign(message, secrets, int(time.time())),
    }
    extensions = {"sni_hostname": target.host, "timeout": {"connect": CONNECT}}
    for address in addresses:
        to = target.copy_with(host=address)
        request = httpx.Request("POST", to, headers=headers, content=message.body, extensions=extensions)
        try:
            answer = await transport.handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            last: httpx.HTTPError = error
        except httpx.HTTPError as error:
            raise _undelivered(error) from error
        else:
            await answer.aclose()
            return Answer(answer.status_code, _retry_after(answer.headers))
    raise _undelivered(last) from last


def _undelivered(error: httpx.HTTPError) -> Undelivered:
    return Undelivered(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _retry_after(headers: httpx.Headers) -> float:
    # It may also be a date, which is left to the sender's own waits.
    said = headers.get("Retry-After", "")
    return float(said) if said.isascii() and said.isdecimal() else 0.0
