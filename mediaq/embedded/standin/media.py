"""Opens media files by PyAV, whose versions differ."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    from av.container import InputContainer


def open_media(file: io.BufferedIOBase) -> InputContainer:
    """Open a file for reading; titles that are not UTF-8 do no harm.

    PyAV 18 stops at such titles unless told otherwise; 19 never does and cannot be told.
    """
    options: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    container: InputContainer = av.open(file, mode="r", **options)
    return container
