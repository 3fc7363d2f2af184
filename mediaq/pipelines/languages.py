"""The language an operation is told: given or found, and refused in plain words before a call is paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mediaq.errors import Refused
from mediaq.pipelines.comprehend import READINGS

# RFC 5646: codes of traditional Chinese. AWS names it, found or told, zh-TW, and simplified Chinese zh.
TRADITIONAL = dict.fromkeys(("zh-hant", "zh-hk", "zh-mo"), "zh-tw")


def given(code: str, operation: str) -> str:
    """Returns the code that an operation takes for a language that the caller gave.

    Args:
        code: A language code of RFC 5646, such as `de`, `pt-BR` or `zh-Hant`.
        operation: mediaq's name of the operation, `detectSentiment` say.

    Raises:
        Refused: The operation does not support the language.
    """
    supported = READINGS[operation].languages
    if taken := _looked_up(code, supported):
        return taken
    raise Refused(
        f"{operation} does not support the language {code!r} that was given: give languageCode as one of "
        f"{', '.join(supported)}, or leave it out to have the language detected",
        "UnsupportedLanguage",
    )


def found(languages: Sequence[Mapping[str, Any]], operation: str) -> str:
    """Returns the code that an operation takes for the likeliest of the languages that were found.

    Args:
        languages: As Comprehend answers them.
        operation: mediaq's name of the operation, `detectSentiment` say.

    Raises:
        Refused: None was found, or the operation does not support the likeliest.
    """
    supported = READINGS[operation].languages
    if not languages:
        raise Refused(
            f"no language was found in the text: give languageCode as one of {', '.join(supported)}",
            "NoLanguage",
        )
    likeliest = max(languages, key=lambda language: language["Score"])
    code: str = likeliest["LanguageCode"]
    if taken := _looked_up(code, supported):
        return taken
    raise Refused(
        f"{operation} does not support the language that was found in the text, {code} (score "
        f"{likeliest['Score']:.2f}): if that is wrong, give languageCode as one of {', '.join(supported)}; "
        f"otherwise leave {operation} out",
        "UnsupportedLanguage",
    )


def _looked_up(code: str, supported: Sequence[str]) -> str | None:
    """Finds a code by RFC 4647's lookup: whatever its case, without its last parts where need be."""
    known = {name.lower(): name for name in supported}
    parts = code.replace("_", "-").lower().split("-")
    tags = ("-".join(parts[:size]) for size in range(len(parts), 0, -1))
    taken = (known.get(TRADITIONAL.get(tag, tag)) for tag in tags)
    return next(filter(None, taken), None)
