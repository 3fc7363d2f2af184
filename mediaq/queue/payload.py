"""A job's `data`: what to call and with what, read from bytes that anybody may have written."""

from __future__ import annotations

import pickle
import zlib
from typing import Any

from rq import serializers

from mediaq.queue.codec import PlainPickle

# The dotted name of a function, its arguments, its keyword arguments.
Call = tuple[str, tuple[Any, ...], dict[str, Any]]

# Bytes of a payload, decompressed. A few KB of zlib can stand for gigabytes.
MOST_BYTES = 64 * 2**20
# Of an error's text, which may quote the payload.
MOST_CHARACTERS = 300


class PayloadRefused(Exception):
    """A job's data cannot be read, or is no call; the text says why."""


def resolve_serializer(given: Any) -> Any:
    """Returns what a worker reads and writes jobs with.

    Args:
        given: What RQ's tools take: None, a name (`json`, `pickle`, a dotted path), a module or a class.

    Returns:
        RQ's own choice, but with the unpickler of plain values wherever that would be Python's, which calls
        whatever a pickle names. A serializer of one's own is used as it is.
    """
    chosen: Any = serializers.resolve_serializer(given)
    return PlainPickle if chosen.loads is pickle.loads else chosen


def decode(data: bytes, serializer: Any, *, most: int = MOST_BYTES) -> Call:
    """Reads a job's data as RQ does: compressed by zlib, or else as it is.

    Args:
        data: The field `data` of the job's hash.
        serializer: The worker's, as `resolve_serializer` returned it.
        most: Bytes of the decompressed payload at most.

    Returns:
        What to call: the function's name, which is still to be checked, and the arguments.

    Raises:
        PayloadRefused: It is too long, cannot be read, names what is no plain value, or is no call.
    """
    try:
        payload = _load(data, serializer, most)
    except PayloadRefused:
        raise
    except Exception as error:  # noqa: BLE001 - serializers raise what they like for bytes they cannot read
        # The error itself may hold all of the payload: it is not kept.
        raise PayloadRefused(f"the job's data cannot be read: {_shorten(error)}") from None
    match payload:
        case (str() as name, None, list() | tuple() as args, dict() as kwargs) if all(
            isinstance(key, str) for key in kwargs
        ):
            return name, tuple(args), kwargs
    raise PayloadRefused(f"the job's data is no call of a function: {_fault(payload)}")


def _load(data: bytes, serializer: Any, most: int) -> Any:
    payload = _inflate(data, most)
    if len(payload) > most:
        raise PayloadRefused(f"the job's data is longer than {most} bytes")
    return serializer.loads(payload)


def _inflate(data: bytes, most: int) -> bytes:
    # The low half of the first byte tells zlib's method: spares most of what was not compressed the try.
    if not data or data[0] & 0x0F != 8:
        return data
    stream = zlib.decompressobj()
    try:
        payload = stream.decompress(data, most + 1)
    except zlib.error:
        return data
    # RQ takes what is cut short for uncompressed.
    return payload if stream.eof or len(payload) > most else data


def _shorten(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"[:MOST_CHARACTERS]
    # A pickle's texts may have halves of characters in them, which no log can be written with.
    return text.encode(errors="backslashreplace").decode()


def _fault(payload: Any) -> str:
    match payload:
        case (str(), None, list() | tuple(), dict()):
            return "a keyword is no text"
        case (str(), None, list() | tuple(), kwargs):
            return f"keyword arguments are a dict, not of type {type(kwargs).__name__}"
        case (str(), None, args, _):
            return f"arguments are a list or a tuple, not of type {type(args).__name__}"
        case (str(), _, _, _):
            return "it brings an object to call a method of; functions and static methods can be called"
        case (name, _, _, _):
            return f"a function's name is a text, not of type {type(name).__name__}"
    return "RQ's four values, (function, instance, arguments, keyword arguments), are wanted"
