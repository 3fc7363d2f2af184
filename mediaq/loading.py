"""Loading of settings from where they may be: defaults, a TOML file, the environment; bad ones are named."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import attrs
import typed_settings as ts
from attrs import frozen

from mediaq.errors import SettingsError
from mediaq.fields import mask

T = TypeVar("T", bound=attrs.AttrsInstance)

PREFIX = "MEDIAQ_"
# typed-settings parses the source of the modules of settings each time; before Python 3.12 two threads that
# parse at once may fail with a SystemError ("AST constructor recursion depth mismatch").
PARSING = Lock()
# Read by the programs themselves: the file to load, and what the command line's API calls use.
NOT_SETTINGS = frozenset({"MEDIAQ_CONFIG", "MEDIAQ_API_URL", "MEDIAQ_TOKEN"})
# Names that other tools share, and short ones. They win over the file and lose against MEDIAQ_SECTION__KEY.
# Of several for one setting the last wins: mediaq uses the server that RQ's own tools use.
SHARED_NAMES = {
    "REDIS_URL": "redis.url",
    "RQ_REDIS_URL": "redis.url",
    "DATABASE_URL": "database.url",
    "AWS_REGION": "aws.region",
    "MEDIAQ_CONCURRENCY": "worker.concurrency",
}


def load(kind: type[T], path: Path | None) -> T:
    """Loads settings: defaults, then the file, then the environment.

    Args:
        kind: The class of the settings: tables of fields, each with a default.
        path: The TOML file; by default what `MEDIAQ_CONFIG` names, else `config.toml` in the current folder
            if there is one.

    Raises:
        SettingsError: A key is unknown, a value is bad, or a named file is missing or not TOML.
    """
    source = path or _find_file()
    # The exclamation mark makes a missing file an error.
    files = ts.FileLoader({"*": ts.TomlFormat(section=None)}, files=[f"!{source}"] if source else [])
    environment = ts.EnvLoader(PREFIX, nested_delimiter="__")
    try:
        with PARSING:
            settings = ts.load_settings(kind, [files, _SharedNames(), environment])
    except ts.exceptions.InvalidSettingsError as errors:
        raise SettingsError("; ".join(_explain(error) for error in errors.exceptions)) from None
    except (ts.exceptions.TsError, OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{source}: {error}") from None
    _refuse_unknown_variables(settings)
    return settings


def _find_file() -> Path | None:
    named = os.environ.get("MEDIAQ_CONFIG")
    if named and not Path(named).is_file():
        raise SettingsError(f"MEDIAQ_CONFIG names {named}, and there is no such file")
    found = Path(named or "config.toml")
    return found if found.is_file() else None


@frozen
class _SharedNames:
    """Loads the environment variables of SHARED_NAMES; called by typed-settings."""

    def __call__(
        self,
        settings_cls: type,  # noqa: ARG002 - typed-settings passes it by this name
        options: tuple[ts.types.OptionInfo, ...],
    ) -> ts.types.LoadedSettings:
        wanted = {option.path for option in options}
        values: dict[str, Any] = {}
        for name, option in SHARED_NAMES.items():
            if option in wanted and os.environ.get(name):
                ts.dict_utils.set_path(values, option, os.environ[name])
        return ts.types.LoadedSettings(values, ts.types.LoaderMeta(_SharedNames.__name__))


def _refuse_unknown_variables(settings: attrs.AttrsInstance) -> None:
    known = {_variable(key) for key, _, _ in shown(settings)} | NOT_SETTINGS | SHARED_NAMES.keys()
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            raise SettingsError(f"environment variable {name}: there is no such setting")


def _explain(error: BaseException) -> str:
    # typed-settings names the option, and the file that it is from; a variable it does not name.
    return re.sub(r"option '([\w.]+)' from loader (EnvLoader|_SharedNames)", _name_variable, str(error))


def _name_variable(found: re.Match[str]) -> str:
    option, loader = found.groups()
    shared = [name for name, shares in SHARED_NAMES.items() if shares == option and os.environ.get(name)]
    variable = _variable(option) if loader == "EnvLoader" else shared[-1]
    return f"option '{option}' from environment variable {variable}"


def _variable(key: str) -> str:
    return PREFIX + key.upper().replace(".", "__").replace("-", "_")


def shown(settings: attrs.AttrsInstance) -> Iterator[tuple[str, str, str]]:
    """Yields each setting as (dotted key, value with secrets masked, what it is for)."""
    return _entries(settings, "")


def _entries(table: Any, above: str) -> Iterator[tuple[str, str, str]]:
    for attribute in attrs.fields(type(table)):
        value = getattr(table, attribute.name)
        if attrs.has(type(value)):
            name = attribute.name.replace("_", "-")
            yield from _entries(value, f"{above}{name}.")
        else:
            yield f"{above}{attribute.name}", mask(value), attribute.metadata["help"]
