"""A job's data: what any RQ producer writes becomes a call; what is no call is refused with a reason."""

import json
import os
import pickle
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from redis import Redis
from rq.job import Job
from rq.serializers import DefaultSerializer, JSONSerializer

from mediaq.queue.codec import PlainPickle
from mediaq.queue.payload import MOST_BYTES, PayloadRefused, decode, resolve_serializer

WRITTEN = ("pkg.mod.run", None, (1, "two"), {"three": 3})
CALL = ("pkg.mod.run", (1, "two"), {"three": 3})


def refusal(data: bytes, serializer: Any = PlainPickle, **options: Any) -> str:
    with pytest.raises(PayloadRefused) as refused:
        decode(data, serializer, **options)
    assert refused.value.__cause__ is None
    return str(refused.value)


@pytest.mark.parametrize("pack", [zlib.compress, bytes, lambda data: zlib.compress(data, wbits=9)])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_call_is_read_compressed_and_as_it_is(pack: Any, protocol: int) -> None:
    assert decode(pack(pickle.dumps(WRITTEN, protocol)), PlainPickle) == CALL


@pytest.mark.parametrize("pack", [zlib.compress, bytes])
def test_a_json_call_is_read_with_its_arguments_as_a_tuple(pack: Any) -> None:
    assert decode(pack(json.dumps(WRITTEN).encode()), JSONSerializer) == CALL


@pytest.mark.parametrize("serializer", ["pickle", "json"])
def test_what_stock_rq_writes_is_read(serializer: str) -> None:
    name, args, kwargs = CALL
    job = Job.create(name, args=args, kwargs=kwargs, connection=Redis(), serializer=serializer)
    assert decode(job.to_dict()["data"], resolve_serializer(serializer)) == CALL


@given(some.binary() | some.binary().map(zlib.compress) | some.binary().map(lambda data: b"x\x9c" + data))
def test_bytes_are_inflated_where_rq_inflates_them_and_else_taken_as_they_are(data: bytes) -> None:
    class Keep:
        """Gives back what it was given."""

        @staticmethod
        def loads(payload: bytes) -> Any:
            return "f", None, [payload], {}

    job = Job("id", connection=Redis())
    job.restore({b"data": data, b"created_at": b""})
    assert decode(data, Keep)[1] == (job.data,)
    for cut in (data[:-1], data + b"more"):
        job.restore({b"data": cut, b"created_at": b""})
        assert decode(cut, Keep)[1] == (job.data,)


@pytest.mark.parametrize(
    "named", [None, "pickle", "rq.serializers.DefaultSerializer", DefaultSerializer, pickle], ids=repr
)
def test_pythons_unpickler_is_replaced_however_it_is_named(named: Any) -> None:
    assert resolve_serializer(named) is PlainPickle


def test_other_serializers_are_taken_as_rq_takes_them() -> None:
    for named in ("json", "rq.serializers.JSONSerializer", JSONSerializer):
        assert resolve_serializer(named) is JSONSerializer
    assert resolve_serializer(PlainPickle) is PlainPickle
    assert resolve_serializer(json) is json
    with pytest.raises(NotImplementedError):
        resolve_serializer(object())


class Touching:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_a_pickle_that_would_run_something_is_refused_and_nothing_is_run(tmp_path: Any) -> None:
    payload = pickle.dumps(("pkg.mod.run", None, (Touching(str(tmp_path / "made")),), {}))
    reason = refusal(payload)
    assert "cannot be read: ForeignPickle: the payload names" in reason
    assert "mkdir" in reason
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("data", "serializer"),
    [
        (b"", PlainPickle),
        (b"nonsense", PlainPickle),
        (pickle.dumps(WRITTEN)[:-5], PlainPickle),
        (zlib.compress(pickle.dumps(WRITTEN))[:-1], PlainPickle),
        (json.dumps(WRITTEN).encode(), PlainPickle),
        (pickle.dumps(WRITTEN), JSONSerializer),
        (b"", JSONSerializer),
        (b'["f", null, [], {}', JSONSerializer),
        (b"\xff[]", JSONSerializer),
        (b"[" * 100_000, JSONSerializer),
        (b"9" * 5000, JSONSerializer),
    ],
)
def test_what_the_serializer_cannot_read_is_refused(data: bytes, serializer: Any) -> None:
    assert "the job's data cannot be read: " in refusal(data, serializer)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (None, "RQ's four values"),
        ("pkg", "RQ's four values"),
        (b"four", "RQ's four values"),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, "RQ's four values"),
        ({1, 2, 3, 4}, "RQ's four values"),
        ((), "RQ's four values"),
        (WRITTEN[:3], "RQ's four values"),
        ((*WRITTEN, 5), "RQ's four values"),
        ((None, None, (), {}), "a function's name is a text, not of type NoneType"),
        ((b"pkg.mod.run", None, (), {}), "a function's name is a text, not of type bytes"),
        ((["pkg.mod.run"], None, (), {}), "a function's name is a text, not of type list"),
        (("run", "instance", (), {}), "it brings an object"),
        (("run", 0, (), {}), "it brings an object"),
        (("run", False, (), {}), "it brings an object"),
        (("run", {}, (), {}), "it brings an object"),
        (("pkg.mod.run", None, None, {}), "arguments are a list or a tuple, not of type NoneType"),
        (("pkg.mod.run", None, "abc", {}), "arguments are a list or a tuple, not of type str"),
        (("pkg.mod.run", None, {}, {}), "arguments are a list or a tuple, not of type dict"),
        (("pkg.mod.run", None, (), None), "keyword arguments are a dict, not of type NoneType"),
        (("pkg.mod.run", None, (), []), "keyword arguments are a dict, not of type list"),
        (("pkg.mod.run", None, (), {1: 2}), "a keyword is no text"),
        (("pkg.mod.run", None, (), {"a": 1, b"b": 2}), "a keyword is no text"),
    ],
)
def test_what_is_no_call_is_refused_with_what_is_wrong(payload: Any, reason: str) -> None:
    assert f"no call of a function: {reason}" in refusal(pickle.dumps(payload))


def test_a_payload_may_be_64_mib_long_and_no_longer() -> None:
    """Both as it is and compressed, where 64 KB stand for it; only what is allowed is inflated."""
    assert MOST_BYTES == 64 * 2**20
    payload = pickle.dumps(("pkg.mod.run", None, (b"0" * 1000,), {}))
    size = len(payload)
    for data in (payload, zlib.compress(payload)):
        assert decode(data, PlainPickle, most=size)[0] == "pkg.mod.run"
        assert refusal(data, most=size - 1) == f"the job's data is longer than {size - 1} bytes"


def test_a_bomb_is_inflated_no_further_than_allowed() -> None:
    bomb = zlib.compress(b"0" * 2**26)
    assert len(bomb) < 2**17
    tracemalloc.start()
    assert "longer than 1048576 bytes" in refusal(bomb, most=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_a_pickle_of_nine_bytes_that_would_take_gigabytes_is_refused() -> None:
    assert "MemoTooLong" in refusal(b"\x80\x04Nr\xff\xff\xff\xff.")


def test_a_reason_is_short_and_can_be_written_whatever_the_payload_says() -> None:
    name = b"X" + (2**20).to_bytes(4, "little") + b"\xed\xa0\x80" + b"a" * (2**20 - 3)
    reason = refusal(b"\x80\x04" + name + b"\x8c\x01b\x93.")
    assert len(reason) < 500
    assert "\\ud800" in reason
    reason.encode()


def test_a_serializer_of_ones_own_that_raises_is_a_refusal() -> None:
    class Own:
        @staticmethod
        def loads(_: bytes) -> Any:
            raise KeyError("what?")

    assert refusal(b"", Own) == "the job's data cannot be read: KeyError: 'what?'"
