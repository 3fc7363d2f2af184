"""What of a request has to be the caller's own: objects under their prefix, cost centers of their token."""

from typing import Any

import pytest

from mediaq.service.auth import Caller
from mediaq.service.ownership import refuse_what_is_anothers
from mediaq.service.problems import Problem

TEMPLATE = "users/{userId}/"


def refused(asked: dict[str, Any], caller: Caller | None = None, template: str = TEMPLATE) -> Any:
    """The field for which a request is refused, or None."""
    try:
        refuse_what_is_anothers(caller or Caller("ann", admin=False), asked, template)
    except Problem as refusal:
        problem = refusal
    else:
        return None
    field = problem.further["field"]
    assert (problem.status, problem.detail.startswith(f"{field}: ")) == (403, True)
    return field


@pytest.mark.parametrize(
    ("key", "user"),
    [
        ("users/ann/a.jpg", "ann"),
        ("users/ann/2026/05/a..b.jpg", "ann"),
        ("users/{userId}/a", "{userId}"),
        ("users/a{b}%/a", "a{b}%"),
        ("users/..ann/a", "..ann"),
        ("users/a\\b/c", "a\\b"),
        ("users/Zoë/a", "Zoë"),
    ],
)
def test_a_key_under_ones_own_prefix_is_ones_own(key: str, user: str) -> None:
    assert refused({"s3Key": key}, Caller(user, admin=False)) is None


@pytest.mark.parametrize(
    ("key", "user"),
    [
        ("users/bob/a", "ann"),
        ("users/annabel/a", "ann"),
        ("users/Ann/a", "ann"),
        ("users/ann", "ann"),
        ("users/ann/", "ann"),
        ("/users/ann/a", "ann"),
        ("a/users/ann/a", "ann"),
        ("users/ann/../bob/a", "ann"),
        ("users/ann/./a", "ann"),
        ("users/ann//a", "ann"),
        ("users/ann/a/..", "ann"),
        ("users/../a", ".."),
        ("users/./a", "."),
        # The same letter, composed otherwise.
        ("users/Zoe\u0308/a", "Zo\u00eb"),
        # One user's id could begin with another's.
        ("users/ann/bob/a", "ann/bob"),
        ("users/ann/a", "ann/"),
        ("users/ann/a", "{userId}"),
        ("users/{userId}/a", "ann"),
    ],
)
def test_any_other_key_is_refused(key: str, user: str) -> None:
    assert refused({"s3Key": key}, Caller(user, admin=False)) == "s3Key"


def test_what_is_refused_says_what_would_be_accepted() -> None:
    with pytest.raises(Problem, match="s3Key: yours begin with users/ann/"):
        refuse_what_is_anothers(Caller("ann", admin=False), {"s3Key": "a"}, TEMPLATE)


def test_without_a_template_or_for_an_admin_any_key_will_do() -> None:
    assert refused({"s3Key": "users/bob/../a"}, template="") is None
    assert refused({"s3Key": "users/bob/../a"}, Caller("ann", admin=True)) is None
    assert refused({"text": "no key at all"}) is None


def test_a_prefix_may_be_everybodys() -> None:
    assert refused({"s3Key": "uploads/a"}, template="uploads/") is None
    assert refused({"s3Key": "thumbnails/a"}, template="uploads/") == "s3Key"
    assert refused({"s3Key": "uploads/a"}, Caller("ann/bob", admin=False), template="uploads/") is None


@pytest.mark.parametrize("listed", [frozenset(), frozenset({"cc-1", "cc-2"})], ids=["none", "two"])
def test_a_cost_centre_has_to_be_one_of_the_tokens(listed: frozenset[str]) -> None:
    caller = Caller("ann", admin=False, cost_centers=listed)
    assert refused({"costCenter": "cc-1"}, caller) == (None if listed else "costCenter")
    assert refused({"costCenter": "cc-3"}, caller) == "costCenter"
    assert refused({"costCenter": None}, caller) is refused({}, caller) is None


def test_any_cost_centre_will_do_for_an_admin_or_where_tokens_list_none() -> None:
    assert refused({"costCenter": "cc-3"}, Caller("ann", admin=True, cost_centers=frozenset())) is None
    assert refused({"costCenter": "cc-3"}) is None


def test_nobody_acts_for_another_user() -> None:
    for caller in (Caller("ann", admin=False), Caller("ann", admin=True)):
        assert refused({"userId": "bob"}, caller) == "userId"
        assert refused({"userId": "ann"}, caller) is None
