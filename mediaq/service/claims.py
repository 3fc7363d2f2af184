"""Claims of tokens by name, or by dotted path where they are nested (`realm_access.admin`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def read_claim(claims: Mapping[str, Any], path: str) -> Any:
    """Returns a claim, or None where there is none.

    Args:
        claims: All claims of a token.
        path: Its name; names with dots, as in `https://example.com/admin`, come before paths.
    """
    found: Any = claims
    for name in (path,) if path in claims else path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def write_claim(claims: dict[str, Any], path: str, value: Any) -> None:
    """Puts a value where `read_claim` finds it, beside what is there.

    Args:
        claims: The claims, which are changed.
        path: The claim's name, or its dotted path.
        value: The value.
    """
    *above, last = path.split(".")
    for name in above:
        claims = claims.setdefault(name, {})
    claims[last] = value


def read_texts(value: Any) -> frozenset[str]:
    """Returns the texts of a claim that is a list of them or a single one; of another kind: none."""
    listed = value if isinstance(value, list) else [value]
    return frozenset(one for one in listed if isinstance(one, str))
