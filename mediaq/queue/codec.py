"""RQ's pickle framing for plain values, read by an unpickler that resolves no globals.

Stock RQ and rq-dashboard read what is written here without flags. What they wrote is read here only where it
is plain: a pickle that names a class or a function is refused before anything is imported.
"""

from __future__ import annotations

import io
import pickle
import zlib
from typing import Any, NoReturn

from mediaq.queue.memo import check_memo

# Bytes of a payload from which on zlib saves memory that is worth the time it takes.
WORTH_COMPRESSING = 512


class ForeignPickle(pickle.UnpicklingError):
    """A payload names a class or a function; mediaq reads plain values only."""


class PlainPickle:
    """A serializer for RQ that writes pickle and reads plain values only."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        """Returns the value as RQ's default serializer writes it."""
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def loads(data: bytes) -> Any:
        """Reads plain values: None, booleans, numbers, strings, bytes, and containers of them.

        Raises:
            ForeignPickle: The payload names a class or a function.
            pickle.UnpicklingError, EOFError, ...: It is no pickle, or one that would take more memory than it
                has a use for.
        """
        check_memo(data)
        return _PlainUnpickler(io.BytesIO(data)).load()


class StrictPickle(PlainPickle):
    """A serializer for RQ that writes plain values only, so that whatever it writes can be read again."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        """Returns the value as RQ's default serializer writes it.

        Raises:
            TypeError: It is no plain value, or holds one that is not.
        """
        written = io.BytesIO()
        _PlainPickler(written, pickle.HIGHEST_PROTOCOL).dump(value)
        return written.getvalue()


def compress(payload: bytes) -> bytes:
    """Returns a job's payload as RQ keeps it: by zlib where that pays, else as it is, which RQ reads too."""
    if _may_be_zlib(payload):
        return zlib.compress(payload)
    if len(payload) < WORTH_COMPRESSING:
        return payload
    return min(zlib.compress(payload), payload, key=len)


def _may_be_zlib(payload: bytes) -> bool:
    # RFC 1950: the low half of the first byte is the method, 8; the first two are a multiple of 31.
    return payload[:1] != b"" and payload[0] & 0x0F == 8 and int.from_bytes(payload[:2], "big") % 31 == 0


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise ForeignPickle(f"the payload names {module}.{name}; only plain values are read")

    def persistent_load(self, reference: Any) -> NoReturn:
        raise ForeignPickle(f"the payload refers to {reference!r}; only plain values are read")


class _PlainPickler(pickle.Pickler):
    # Asked for whatever pickle has no opcode of its own for.
    def reducer_override(self, value: Any) -> NoReturn:
        raise TypeError(
            f"{value!r:.100} is no plain value, but of type {type(value).__name__}; "
            "plain are None, booleans, numbers, texts, bytes and containers of them"
        )
