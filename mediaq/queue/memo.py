"""A check of pickles for numbers that make Python's unpickler take gigabytes for a few bytes.

Its memo grows at once to twice the highest number that a payload gives to a value: `r` and four bytes are
enough. Picklers number values one by one, so no number of theirs exceeds the count of the bytes before it.
"""

from __future__ import annotations

import math
import pickle
import pickletools

_STOP, _PUT, _LONG_BINPUT = pickle.STOP[0], pickle.PUT[0], pickle.LONG_BINPUT[0]
# How many bytes of argument follow each opcode; negative: as pickletools says. What is missing, every
# unpickler refuses; what ends a pickle, or names a class or a function, the plain one reads no further.
_FOLLOWING = {
    ord(opcode.code): opcode.arg.n if opcode.arg else 0
    for opcode in pickletools.opcodes
    if opcode.name not in {"STOP", "GLOBAL", "INST", "LONG_BINPUT", "PUT"}
}
# Bytes of the length that stands before an argument.
_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}


class MemoTooLong(pickle.UnpicklingError):
    """A pickle gives a value a number that no pickler gives."""


def check_memo(pickled: bytes) -> None:
    """Reads the opcodes of a pickle up to its end, or to where an unpickler of plain values refuses it.

    Raises:
        MemoTooLong: A value's number exceeds the bytes before it.
    """
    at, end = 0, len(pickled)
    while at < end:
        opcode = pickled[at]
        follows = _FOLLOWING.get(opcode)
        at += 1
        if follows is None:
            if (number := _number(pickled, opcode, at)) is None:
                return
            if number > at:
                raise MemoTooLong(f"the payload gives the number {number} to a value after {at} bytes")
            at = at + 4 if opcode == _LONG_BINPUT else _line_end(pickled, at)
        elif follows >= 0:
            at += follows
        elif follows == pickletools.UP_TO_NEWLINE:
            at = _line_end(pickled, at)
        else:
            length = _LENGTHS[follows]
            at += length + int.from_bytes(pickled[at : at + length], "little")


def _number(pickled: bytes, opcode: int, at: int) -> float | None:
    """Returns the number that a value is given; None where the pickle ends."""
    if opcode == _LONG_BINPUT:
        return int.from_bytes(pickled[at : at + 4], "little")
    if opcode == _PUT:
        line = pickled[at : _line_end(pickled, at)].removesuffix(b"\n")
        # What else the unpickler takes for a number, as what stands before a NUL, no pickler writes.
        return int(line) if line.isdigit() and len(line) < 20 else math.inf
    return None


def _line_end(pickled: bytes, at: int) -> int:
    newline = pickled.find(b"\n", at)
    return len(pickled) if newline < 0 else newline + 1
