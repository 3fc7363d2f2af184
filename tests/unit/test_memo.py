"""Numbers in pickles: a pickler's own pass, those that would take gigabytes do not."""

import pickle
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mediaq.queue.memo import MemoTooLong, check_memo

scalars = some.none() | some.booleans() | some.integers() | some.floats() | some.text()


def nested(leaves: Any) -> Any:
    return some.recursive(
        leaves,
        lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner) | some.tuples(inner, inner),
        max_leaves=20,
    )


# What every protocol writes without naming a class, and what the newest writes so.
simple = nested(scalars)
plain = nested(scalars | some.binary() | some.binary().map(bytearray) | some.sets(some.integers()))
protocols = some.integers(0, pickle.HIGHEST_PROTOCOL)


def long_put(number: int) -> bytes:
    return b"r" + struct.pack("<I", number)


@given(plain, protocols)
def test_whatever_a_pickler_writes_passes(value: Any, protocol: int) -> None:
    check_memo(pickle.dumps(value, protocol))


@given(some.tuples(simple, protocols) | some.tuples(plain, some.just(pickle.HIGHEST_PROTOCOL)))
def test_a_number_out_of_proportion_is_found_behind_whatever_a_pickler_writes(
    given: tuple[Any, int],
) -> None:
    pickled = pickle.dumps(*given)
    with pytest.raises(MemoTooLong):
        check_memo(pickled[:-1] + long_put(2**24) + b".")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_many_values_that_are_all_numbered_pass_and_what_is_behind_them_is_checked(protocol: int) -> None:
    """More than 256, so that old protocols need the long numbers too."""
    pickled = pickle.dumps([[number] for number in range(1000)], protocol)
    check_memo(pickled)
    with pytest.raises(MemoTooLong):
        check_memo(pickled[:-1] + long_put(2**24) + b".")


@pytest.mark.parametrize(
    "put",
    [
        long_put(2**20),
        *(b"p1048576\n", b"p 1_048_576 \n", b"p+1048576\n", b"p01048576\n"),
        *(b"p1048576\0\n", b"p1048576\0more\n", b"p\x0b1048576\n"),
    ],
)
def test_each_way_to_number_a_value_is_checked(put: bytes) -> None:
    pickled = b"N" + put + b"."
    assert pickle.loads(pickled) is None  # noqa: S301 - the unpickler takes it
    with pytest.raises(MemoTooLong, match=r"gives the number (1048576|inf) to a value after \d bytes"):
        check_memo(pickled)


@pytest.mark.parametrize(
    "pickled",
    [
        b"",
        b"N",
        b"N." + long_put(2**30),  # the pickle ends before
        b"cos\nsystem\n" + long_put(2**30),  # refused before
        b"\xff" + long_put(2**30),
        b"V" + b"r" * 100 + b"\n.",
        b"Vnever ends",
        b"\x8c\xffshort",
        b"\x8b\xff\xff\xff\xff.",
        b"\x8e" + b"\xff" * 8,
        b"Nr\x00",
    ],
    ids=repr,
)
def test_what_the_unpickler_ends_or_refuses_before_it_matters_is_left_to_it(pickled: bytes) -> None:
    check_memo(pickled)


def test_the_danger_is_real() -> None:
    """Seven bytes take 16 MB here; 64 GB are possible."""
    tracemalloc.start()
    pickle.loads(b"N" + long_put(2**20) + b".")  # noqa: S301 - shows what it takes
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak > 2**24
