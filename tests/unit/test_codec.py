"""RQ's payloads: plain values go both ways, whatever names a class or function is not resolved."""

import builtins
import collections
import os
import pickle
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from redis import Redis
from rq.job import Job
from rq.serializers import DefaultSerializer

from mediaq.queue.codec import ForeignPickle, PlainPickle, StrictPickle, compress

keys = some.text() | some.integers() | some.binary()
scalars = keys | some.none() | some.booleans() | some.floats(allow_nan=False)
plain = some.recursive(
    scalars | some.frozensets(keys),
    lambda inner: (
        some.lists(inner)
        | some.dictionaries(keys, inner)
        | some.tuples(inner, inner)
        | some.sets(keys)
        | some.binary().map(bytearray)
    ),
    max_leaves=20,
)


@given(plain)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    assert PlainPickle.loads(PlainPickle.dumps(value)) == value


@given(plain)
def test_stock_rq_reads_what_is_written_here_and_the_other_way_round(value: Any) -> None:
    assert DefaultSerializer.loads(PlainPickle.dumps(value)) == value
    assert PlainPickle.loads(DefaultSerializer.dumps(value)) == value


def test_a_large_number_and_a_deep_value_come_back() -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    value = {"number": 7**5000, "deep": deep, "job": ("a.b", None, ("id",), {})}
    assert PlainPickle.loads(PlainPickle.dumps(value)) == value


@given(plain)
def test_a_strict_producer_writes_plain_values_as_stock_rq_does(value: Any) -> None:
    assert StrictPickle.dumps(value) == DefaultSerializer.dumps(value)


class Colour(Enum):
    RED = 1


class Touching:
    """Touches a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


FOREIGN = pytest.mark.parametrize(
    "value",
    [
        os.system,
        builtins.getattr,
        print,
        dict,
        datetime(2026, 1, 1, tzinfo=UTC),
        Decimal(1),
        1j,
        range(3),
        collections.OrderedDict(a=1),
        collections.Counter("a"),
        Colour.RED,
        ValueError("no"),
        {"deep": [{"er": os.system}]},
        {os.system},
    ],
    ids=repr,
)


@FOREIGN
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_names_a_class_or_a_function_is_refused(value: Any, protocol: int) -> None:
    with pytest.raises(ForeignPickle, match=r"the payload names \w+(\.\w+)+; only plain values are read"):
        PlainPickle.loads(pickle.dumps(value, protocol))


@FOREIGN
def test_a_strict_producer_refuses_what_could_not_be_read_again(value: Any) -> None:
    for given_value in (value, ["a", {"b": (value,)}]):
        with pytest.raises(TypeError, match="is no plain value, but of type"):
            StrictPickle.dumps(given_value)


@given(
    some.binary()
    | some.binary(min_size=600)
    | some.binary().map(zlib.compress)
    | plain.map(PlainPickle.dumps)
)
@example(b"x\x9c")
@example(b"8\x11")
@example(b"")
def test_rq_reads_a_payload_whether_it_was_compressed_or_not(payload: bytes) -> None:
    job = Job("id", connection=Redis())
    job.restore({"data": compress(payload)})
    assert job.data == payload


def test_a_payload_is_compressed_where_that_pays() -> None:
    assert len(compress(b"a" * 10_000)) < 100
    noise = os.urandom(10_000)
    for payload in (b"a" * 100, noise):
        assert compress(payload) == payload


def test_nothing_of_a_refused_payload_was_run(tmp_path: Any) -> None:
    made = tmp_path / "made"
    payload = pickle.dumps([Touching(str(made))])
    with pytest.raises(ForeignPickle, match=r"mkdir"):
        PlainPickle.loads(payload)
    assert not made.exists()
    pickle.loads(payload)  # noqa: S301 - shows that the payload would have done it
    assert made.exists()


@pytest.mark.parametrize("payload", [b"cos\nsystem\n(S'true'\ntR.", b"(S'true'\nios\nsystem\n."])
def test_old_ways_of_naming_a_function_are_refused(payload: bytes) -> None:
    with pytest.raises(ForeignPickle, match=r"os\.system"):
        PlainPickle.loads(payload)


@pytest.mark.parametrize("payload", [b"Pid\n.", b"\x80\x04\x8c\x02idQ."])
def test_a_reference_to_something_outside_is_refused(payload: bytes) -> None:
    with pytest.raises(ForeignPickle, match=r"refers to 'id'"):
        PlainPickle.loads(payload)


@pytest.mark.parametrize("size", [0, 1, 2, 5, 20, -1])
def test_a_payload_that_is_cut_short_is_no_value(size: int) -> None:
    payload = PlainPickle.dumps({"a": [1, 2, 3], "b": "text"})
    with pytest.raises((pickle.UnpicklingError, EOFError)):
        PlainPickle.loads(payload[:size])
