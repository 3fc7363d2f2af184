"""Where a job's end is told: how a request says it, and what the settings allow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from attrs import frozen
from msgspec import Meta

from mediaq.errors import NotAdmitted
from mediaq.settings import Webhooks

LONGEST_URL = 2048
MOST_PORT = 65535
# So narrow that no two readers take one for different hosts: no user, password, fragment or backslash, and
# nothing but printable ASCII.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
    r"([/?][!-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_NEVER = re.compile(r"[#\\]")


class Webhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a job's end is told.

    Args:
        url: Where it is sent to by POST, of a host that the settings list.
    """

    url: Annotated[str, Meta(min_length=1, max_length=LONGEST_URL)]


@frozen
class Receiver:
    """Who is told.

    Args:
        scheme: https or http.
        host: The host's name or address, in small letters.
        port: The port.
        internal: Whether its addresses need not be public.
    """

    scheme: str
    host: str
    port: int
    internal: bool


def admit_webhook(request: Mapping[str, Any], settings: Webhooks) -> None:
    """Raises NotAdmitted where a request asks for somebody to be told whom the settings do not list."""
    if (asked := request.get("webhook")) is not None:
        find_receiver(asked["url"], settings)


def find_receiver(url: str, settings: Webhooks) -> Receiver:
    """Returns whom a URL names.

    Raises:
        NotAdmitted: The settings do not allow it, or it is no URL for this.
    """
    if not settings.enabled:
        raise NotAdmitted("webhook", "webhooks are turned off here: webhooks.hosts is empty")
    found = _URL.fullmatch(url)
    if found is None or _NEVER.search(url):
        raise _refused("a URL like https://host/path is wanted, in ASCII, without a user, \\ or #")
    scheme, host = found["scheme"].lower(), found["host"].lower().strip("[]")
    if scheme != "https" and not settings.plain_http:
        raise _refused("it must begin with https://")
    port = int(found["port"] or (443 if scheme == "https" else 80))
    if not 0 < port <= MOST_PORT:
        raise _refused(f"there is no port {port}")
    if not settings.may_be_told(host):
        raise _refused(f"host {host} is not listed in webhooks.hosts")
    return Receiver(scheme, host, port, settings.is_internal(host))


def _refused(reason: str) -> NotAdmitted:
    return NotAdmitted("webhook.url", reason)
