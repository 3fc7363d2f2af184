"""What the models on Bedrock have in common: how a body is refused, and how tokens are billed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mediaq.embedded.standin.book import Charge
from mediaq.embedded.standin.errors import AwsError, invalid_input
from mediaq.embedded.standin.validation import json_name

NAME = "InvokeModel"
TOKENS_HEADER = "x-amzn-bedrock-input-token-count"


def check_keys(body: dict[str, Any], kinds: dict[str, type]) -> None:
    """Refuse a body that has other keys, or values of another type.

    Raises:
        AwsError: The first that is wrong.
    """
    for key, value in body.items():
        if key not in kinds:
            raise malformed(f"#: extraneous key [{key}] is not permitted")
        check_type(f"#/{key}", value, kinds[key])


def check_type(where: str, value: object, kind: type) -> None:
    """Refuse a value of another type.

    Raises:
        AwsError: It is of another type.
    """
    # In Python true is an int; in JSON it is no number.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise malformed(f"{where}: expected type: {json_name(kind)}, found: {json_name(type(value))}")


def malformed(detail: str) -> AwsError:
    """Return Bedrock's answer to a body that does not fit the model's schema."""
    return invalid_input(f"Malformed input request: {detail}, please reformat your input and try again.")


def token_charge(item: str, tokens: int) -> Charge:
    """Return what so many tokens are billed."""
    return Charge(item, Decimal(tokens) / 1000, "1K tokens")
