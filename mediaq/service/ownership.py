"""What of a request has to be the caller's own: the object that is read, the cost centre that is charged."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from mediaq.fields import USER_FIELD
from mediaq.service.auth import Caller
from mediaq.service.problems import Problem


def refuse_what_is_anothers(caller: Caller, asked: Mapping[str, Any], key_prefix: str) -> None:
    """Lets a request through where all that it names is the caller's; admins may name anything.

    Args:
        caller: Who asks.
        asked: The decoded request.
        key_prefix: The template of what `s3Key` begins with; empty: it may be any.

    Raises:
        Problem: 403, with the field that names another's.
    """
    if asked.get("userId", caller.user_id) != caller.user_id:
        raise _not_yours("userId", "it is not the token's")
    if caller.admin:
        return
    key, cost_center = asked.get("s3Key"), asked.get("costCenter")
    if key_prefix and key is not None:
        _refuse_key(key, key_prefix, caller.user_id)
    if cost_center is not None and not caller.may_charge(cost_center):
        raise _not_yours("costCenter", "it is none of those that your token lists")


def _refuse_key(key: str, template: str, user_id: str) -> None:
    if "/" in user_id and USER_FIELD in template:
        # With more behind it, another's id could be this one.
        raise _not_yours("s3Key", "your user id has a slash, and so no key is told to be yours")
    if not key.startswith(prefix := template.replace(USER_FIELD, user_id)):
        raise _not_yours("s3Key", f"yours begin with {prefix}")
    # S3 takes such parts as they are; what stands between may resolve them.
    if {"", ".", ".."} & {*key.split("/")}:
        raise _not_yours("s3Key", "no part of it between slashes may be empty, . or ..")


def _not_yours(field: str, why: str) -> Problem:
    return Problem(HTTPStatus.FORBIDDEN, f"{field}: {why}", field=field)
