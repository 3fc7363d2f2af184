"""Kinds of settings: each declares a field whose value is converted, checked, and explained to people."""

from __future__ import annotations

import base64
import ipaddress
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import typed_settings as ts
from attrs import field

from mediaq.quotas import CALLS


def _number(value: Any, *, kind: Callable[[Any], Any], least: float, most: float) -> Any:
    if isinstance(value, bool):
        raise TypeError("a number is wanted")
    number = kind(value)
    if not math.isfinite(number):
        raise ValueError("a finite number is wanted")
    if kind is int and isinstance(value, float) and number != value:
        raise ValueError("a whole number is wanted")
    if not least <= number <= most:
        raise ValueError(
            f"must be at least {least:g}" + (f" and at most {most:g}" if most < float("inf") else "")
        )
    return number


def whole(default: int, text: str, *, least: int = 1, most: float = float("inf")) -> Any:
    """Declares a setting that is a whole number within bounds."""
    return field(
        default=default, converter=partial(_number, kind=int, least=least, most=most), metadata={"help": text}
    )


def one_of(choices: tuple[int, ...], default: int, text: str) -> Any:
    """Declares a setting that is one of a few whole numbers."""

    def convert(value: Any) -> Any:
        number = _number(value, kind=int, least=min(choices), most=max(choices))
        if number not in choices:
            raise ValueError(f"must be one of {', '.join(map(str, choices))}")
        return number

    return field(default=default, converter=convert, metadata={"help": text})


def number(default: float, text: str, *, least: float = 0, most: float = float("inf")) -> Any:
    """Declares a setting that is a number within bounds."""
    return field(
        default=default,
        converter=partial(_number, kind=float, least=least, most=most),
        metadata={"help": text},
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is wanted")
    return value


def _switch(value: Any) -> bool:
    # The environment has only texts.
    known = {True: True, False: False, "true": True, "false": False}
    if not isinstance(value, bool | str) or value not in known:
        raise ValueError("true or false is wanted")
    return known[value]


def switch(default: bool, text: str) -> Any:
    """Declares a setting that is true or false."""
    return field(default=default, converter=_switch, metadata={"help": text})


def text(default: str, text: str) -> Any:
    """Declares a setting that is a piece of text."""
    return field(default=default, converter=_text, metadata={"help": text})


def _texts(value: Any) -> tuple[str, ...]:
    wanted = "a list of texts is wanted, as in " + json.dumps(["one", "two"])
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(wanted) from None
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise TypeError(wanted)
    return tuple(value)


def texts(default: tuple[str, ...], text: str) -> Any:
    """Declares a setting that is a list of texts, written as JSON in the environment."""
    return field(default=default, converter=_texts, metadata={"help": text})


def parse_concurrency(text: str) -> dict[str, int]:
    """Reads how many jobs run at once, as in `image-processing=3,other=10`.

    Raises:
        ValueError: It is not of that form, names a queue twice, or a number is not at least 1.
    """
    found: dict[str, int] = {}
    for part, queue, jobs in _pairs(text):
        if not (queue and jobs.isdecimal() and int(jobs)):
            raise ValueError(f"{part!r} is not of the form QUEUE=JOBS, with 1 or more jobs")
        found[queue] = int(jobs)
    return found


def _pairs(text: str) -> Iterator[tuple[str, str, str]]:
    """Yields the parts of `name=value,other=value`, each with its name and value, which may be empty."""
    named: set[str] = set()
    for part in text.split(",") if text.strip() else ():
        name, _, value = (piece.strip() for piece in part.rpartition("="))
        if name in named:
            raise ValueError(f"{name!r} is named twice")
        named.add(name)
        yield part.strip(), name, value


def _concurrency(value: Any) -> str:
    parse_concurrency(_text(value))
    return str(value)


def by_queue(text: str) -> Any:
    """Declares a setting that is a number of jobs by queue, as in `image-processing=3,other=10`."""
    return field(default="", converter=_concurrency, metadata={"help": text})


def parse_rates(text: str) -> dict[str, float]:
    """Reads calls per second by operation, as in `rekognition.DetectLabels=50,comprehend.DetectSentiment=20`.

    Raises:
        ValueError: It is not of that form, names an operation twice or one that there is not, or a rate is
            less than one call in 100 s.
    """
    found: dict[str, float] = {}
    for part, operation, calls in _pairs(text):
        if not operation:
            raise ValueError(f"{part!r} is not of the form OPERATION=CALLS")
        if operation not in CALLS:
            raise ValueError(f"there is no operation {operation!r}; there are {', '.join(CALLS)}")
        found[operation] = _number(calls, kind=float, least=0.01, most=float("inf"))
    return found


def _rates(value: Any) -> str:
    parse_rates(_text(value))
    return str(value)


def by_operation(text: str) -> Any:
    """Declares a setting that is a number of calls by operation, as in `rekognition.DetectLabels=50`."""
    return field(default="", converter=_rates, metadata={"help": text})


# What a template of keys has in the place of a user's id.
USER_FIELD = "{userId}"


def _key_prefix(value: Any) -> str:
    rest = (template := _text(value)).replace(USER_FIELD, "")
    if "{" in rest or "}" in rest:
        raise ValueError(f"{USER_FIELD} is the only field that it may have")
    if template and not template.endswith("/"):
        raise ValueError("must end with a slash: one user's prefix could begin another's")
    if template.startswith("/") or {"", ".", ".."} & {*template.split("/")[:-1]}:
        raise ValueError("no part between slashes may be empty, . or ..")
    return template


def key_prefix(text: str) -> Any:
    """Declares a setting that is a template of what a user's keys begin with, as in `users/{userId}/`."""
    return field(default="", converter=_key_prefix, metadata={"help": text})


def _web_address(value: Any) -> str:
    url = urlsplit(_text(value))
    if value and not (url.scheme in ("http", "https") and url.hostname):
        raise ValueError("a URL that begins with https:// or http:// is wanted")
    return str(value)


def web_address(text: str) -> Any:
    """Declares a setting that is a URL of the web, empty by default."""
    return field(default="", converter=_web_address, metadata={"help": text})


# More dollars than anyone spends in a month.
MOST_DOLLARS = 1e9


def dollars(text: str) -> Any:
    """Declares a setting that is an amount in US dollars, 0 by default (see `as_dollars`)."""
    return number(0.0, text, most=MOST_DOLLARS)


def as_dollars(number: float) -> Decimal:
    """Returns the amount as it was written: 0.1 dollars, not the nearest binary number."""
    return Decimal(str(number))


def parse_amounts(text: str) -> dict[str, Decimal]:
    """Reads amounts in US dollars by name, as in `ann=20,bob=5.50`.

    Raises:
        ValueError: It is not of that form, names somebody twice, or an amount is bad.
    """
    found: dict[str, Decimal] = {}
    for part, name, amount in _pairs(text):
        if not name:
            raise ValueError(f"{part!r} is not of the form NAME=DOLLARS")
        found[name] = as_dollars(_number(amount, kind=float, least=0, most=MOST_DOLLARS))
    return found


def _amounts(value: Any) -> str:
    parse_amounts(_text(value))
    return str(value)


def by_name(text: str) -> Any:
    """Declares a setting that is an amount in US dollars by name, as in `ann=20,bob=5.50`."""
    return field(default="", converter=_amounts, metadata={"help": text})


def address(default: str, text: str) -> Any:
    """Declares a setting that is a URL, whose password is never shown."""
    return field(default=default, converter=_text, repr=lambda url: repr(mask(url)), metadata={"help": text})


def choice(default: str, text: str) -> Any:
    """Declares a setting that is one of the words of its type."""
    return field(default=default, metadata={"help": text})


def _secret(value: Any, *, least: int) -> ts.types.SecretStr:
    if 0 < len(_text(value).encode()) < least:
        raise ValueError(f"must have at least {least} bytes")
    return ts.types.SecretStr(value)


def secret(text: str, *, least: int = 0) -> Any:
    """Declares a setting that is never shown, empty by default.

    Args:
        text: What it is for.
        least: Bytes that it has at least where it is not empty. RFC 7518, 3.2 wants 32 for HS256: who has a
            token can try shorter secrets out.
    """
    return field(
        default=ts.types.SecretStr(""), converter=partial(_secret, least=least), metadata={"help": text}
    )


# Standard Webhooks 1.0, signature scheme: bytes of a symmetric secret, and what it begins with in writing.
SIGNING_BYTES = range(24, 65)
SIGNING_PREFIX = "whsec_"


def signing_key(secret: str) -> bytes:
    """Returns the bytes of a secret in the form of Standard Webhooks.

    Raises:
        ValueError: It is not of that form, or of another length.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SIGNING_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(SIGNING_PREFIX) or len(key) not in SIGNING_BYTES:
        raise ValueError(f"must be {SIGNING_PREFIX} and 24 to 64 bytes in Base64")
    return key


def _signing_secret(value: Any) -> ts.types.SecretStr:
    if _text(value):
        signing_key(value)
    return ts.types.SecretStr(value)


def signing_secret(text: str) -> Any:
    """Declares a setting that signs webhooks (see `signing_key`), never shown and empty by default."""
    return field(default=ts.types.SecretStr(""), converter=_signing_secret, metadata={"help": text})


_HOST = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def _hosts(value: Any) -> tuple[str, ...]:
    for host in (listed := _texts(value)):
        if not _HOST.fullmatch(host) and not _is_address(host):
            raise ValueError(f"{host!r} is no host: names in small letters, *.example.com, or an address")
    return listed


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def host_list(text: str) -> Any:
    """Declares a setting that is a list of hosts, empty by default (see `is_listed`)."""
    return field(default=(), converter=_hosts, metadata={"help": text})


def is_listed(host: str, listed: Iterable[str]) -> bool:
    """Tells whether a host is listed: by its name or address, or as one below `*.example.com`."""
    return any(host.endswith(each[1:]) if each.startswith("*.") else host == each for each in listed)


# In the part before the host, or as a parameter.
PASSWORD = re.compile(r"(//[^/?#:@]*:)[^/?#]*(?=@)|([?&]password=)[^&#]*")


def mask(value: Any) -> str:
    """Returns a value as text, with a secret or a URL's password replaced by stars."""
    if isinstance(value, ts.types.SecretStr):
        return "***" if value else ""
    if isinstance(value, bool | tuple):
        return json.dumps(value)
    return PASSWORD.sub(lambda found: f"{found[1] or found[2]}***", str(value))
