"""What a caller may name, read and see: what is their own, and to admins all."""

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


def refuse_what_is_hidden(caller: Caller, what: str, owner: str) -> None:
    """Lets a request through where what it is about is the caller's to see.

    Args:
        caller: Who asks.
        what: What it is about, by its name.
        owner: Whose that is.

    Raises:
        Problem: 403 where it is another user's.
    """
    if not caller.may_see(owner):
        raise Problem(HTTPStatus.FORBIDDEN, f"{what} belongs to another user")


def whose(caller: Caller, asked: str | None) -> str | None:
    """Returns whose jobs or costs are meant: the caller's own; for admins, one user's or everybody's.

    Args:
        caller: Who asks.
        asked: The user whom the request names, if any.

    Returns:
        The user's id; None: everybody's are meant.

    Raises:
        Problem: 403 where that is another than the caller, who is no admin.
    """
    if asked is not None and not caller.may_see(asked):
        raise _not_yours("userId", "what is another user's is for admins")
    return asked if caller.admin else caller.user_id
