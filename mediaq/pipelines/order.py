"""What a conversion is asked for; it stands on the command line of the program that converts."""

from __future__ import annotations

import msgspec

REFUSED = 3
"""How the program exits when the image cannot be used; what it printed says why."""


class Order(msgspec.Struct, frozen=True):
    """The bounds of one conversion.

    Args:
        most_bytes: Bytes of the JPEG at most.
        most_side: Pixels of its longer side at most.
        least_side: Pixels of its shorter side at least.
        most_pixels: Pixels of the image that is opened at most.
        memory: Bytes the program may take.
        seconds: Seconds of computing it may take.
    """

    most_bytes: int
    most_side: int
    least_side: int
    most_pixels: int
    memory: int
    seconds: int
