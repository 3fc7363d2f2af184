"""RQ's pickle framing for plain values, read by an unpickler that resolves no globals.

Stock RQ and rq-dashboard read what is written here without flags. What they wrote is read here only where it
is plain: a pickle that names a class or a function is refused before anything is imported.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, NoReturn


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
            pickle.UnpicklingError, EOFError, ...: It is no pickle.
        """
        return _PlainUnpickler(io.BytesIO(data)).load()


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise ForeignPickle(f"the payload names {module}.{name}; only plain values are read")

    def persistent_load(self, reference: Any) -> NoReturn:
        raise ForeignPickle(f"the payload refers to {reference!r}; only plain values are read")
