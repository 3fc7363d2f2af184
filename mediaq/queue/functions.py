"""The functions a worker may call: a name is checked before anything is imported, its object after.

A name comes from Redis, so whoever writes there may have chosen it. Two kinds of pattern allow names:

- An exact dotted path, as `package.module.function` or `package.module.Class.method`, allows whatever
  callable stands there: a re-export, a class, a `functools.partial`, an instance with `__call__`.
- `package.module.*` allows the functions, static methods and methods that are defined in that module, in its
  classes, or in modules below it, unless a part of the path after the module starts with an underscore.

What a module merely imported is not allowed with it: the function's own `__module__.__qualname__` has to be
allowed too. Decorated functions pass if the decorator uses `functools.wraps`. A callable that does not know
where it was defined (a partial, a closure, an instance), or that is a class, has to be listed by its exact
path. Modules below are imported when a name asks for them: no script that acts when imported belongs there.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

# Characters; Python's own limits are far away, and nobody's path is that long.
LONGEST_NAME = 512
# Names that are remembered: there are few, unless someone makes them up from classes that name each other.
MOST_KNOWN = 10_000
REMEDY = "add it to the worker's allowed functions if it may run"


class FunctionRefused(Exception):
    """A job names something that the worker does not call; the text says what, why, and what to do."""


class FunctionMissing(FunctionRefused):
    """A function is allowed, and not there: another worker, or this one after a deploy, may have it."""


class Functions:
    """The functions that one worker may call.

    Args:
        patterns: Exact dotted paths, and `package.module.*` for what is defined in that module or below.

    Raises:
        ValueError: A pattern is neither.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = [_checked(pattern) for pattern in patterns]
        self._exact = {pattern for pattern in patterns if not pattern.endswith(".*")}
        self._above = tuple(pattern[:-1] for pattern in patterns if pattern.endswith(".*"))
        # Holds successes only: names that lead nowhere are without number.
        self._found: dict[str, Callable[..., Any]] = {}

    def check(self, name: str) -> None:
        """Decides by the name alone; imports nothing.

        Raises:
            FunctionRefused: The name is not allowed.
        """
        if not isinstance(name, str):
            raise FunctionRefused(f"a function's name is a text, not of type {type(name).__name__}")
        if len(name) > LONGEST_NAME:
            raise FunctionRefused(f"a name of {len(name)} characters, {name[:40]!r}…, is no function's")
        if not self._allows(name):
            raise FunctionRefused(f"{name!r} is not among the worker's allowed functions; {REMEDY}")

    def known(self, name: str) -> Callable[..., Any] | None:
        """Returns the function of that name if it was resolved before."""
        return self._found.get(name)

    def resolve(self, name: str) -> Callable[..., Any]:
        """Returns the function of that name; imports its module when it is first asked for.

        Raises:
            FunctionRefused: The name is not allowed, or leads to something that is not allowed.
            FunctionMissing: It leads to nothing, or its module cannot be imported: then that error is the
                cause.
        """
        if isinstance(name, str) and name in self._found:
            return self._found[name]
        self.check(name)
        found: Callable[..., Any] = _look_up(name) if name in self._exact else self._look_up_defined(name)
        if not callable(found):
            raise FunctionRefused(f"{name!r} is no function but of type {type(found).__name__}")
        if len(self._found) < MOST_KNOWN:
            self._found[name] = found
        return found

    def _allows(self, name: str) -> bool:
        return name in self._exact or any(
            name.startswith(above) and all(map(_is_public, name[len(above) :].split(".")))
            for above in self._above
        )

    def _look_up_defined(self, name: str) -> Any:
        """Walks from the module through classes only, and looks at nothing that is not allowed itself."""
        module, path = _import_module(name)
        found: Any = module
        for part in path:
            if found is not module and not isinstance(found, type):
                raise FunctionMissing(f"{name!r} does not exist: {_describe(found)} is no class")
            # Without running a module's __getattr__ or a descriptor on behalf of a name from outside.
            self._verify(name, inspect.getattr_static(found, part, None))
            found = getattr(found, part)
        if isinstance(found, type):
            _refuse_unlisted(name, found)
        return found

    def _verify(self, name: str, found: Any) -> None:
        if found is None:
            raise FunctionMissing(f"{name!r} does not exist")
        own_name = _own_name(found)
        if own_name is None:
            _refuse_unlisted(name, found)
        # A class that a pattern starts with is gone through, though not allowed itself.
        if not self._allows(own_name) and f"{own_name}." not in self._above:
            raise FunctionRefused(
                f"{name!r} is {own_name}, which is not among the worker's allowed functions; {REMEDY}"
            )


def _checked(pattern: str) -> str:
    *path, last = pattern.split(".")
    if not path or not all(part.isidentifier() for part in path) or not (last == "*" or last.isidentifier()):
        raise ValueError(
            f"{pattern!r} allows no function: package.module.function or package.module.* is wanted"
        )
    return pattern


def _is_public(part: str) -> bool:
    return part.isidentifier() and not part.startswith("_")


def _import_module(name: str) -> tuple[Any, list[str]]:
    """Imports the modules that a path starts with; returns the last of them and what is left of the path.

    RQ takes any ImportError for the end of the modules, and so hides those that a module itself runs into.
    """
    parts = name.split(".")
    module: Any = None
    for end in range(1, len(parts)):
        path = ".".join(parts[:end])
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name != path:
                _refuse_broken(name, path, error)
            if module is None:
                raise FunctionMissing(f"{name!r} does not exist: there is no module {path!r}") from error
            return module, parts[end - 1 :]
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may do anything when it is imported
            _refuse_broken(name, path, error)
    return module, parts[-1:]


def _look_up(name: str) -> Any:
    found, path = _import_module(name)
    for part in path:
        try:
            found = getattr(found, part)
        except Exception as error:
            raise FunctionMissing(f"{name!r} does not exist: {type(error).__name__}: {error}") from error
    return found


def _own_name(found: Any) -> str | None:
    try:
        # Not getattr: an object that stands for another one would be asked for that other's name.
        own = [object.__getattribute__(found, part) for part in ("__module__", "__qualname__")]
    except AttributeError:
        return None
    return ".".join(own) if all(isinstance(part, str) for part in own) else None


def _describe(found: Any) -> str:
    return _own_name(found) or f"something of type {type(found).__name__}"


def _refuse_broken(name: str, path: str, error: BaseException) -> NoReturn:
    raise FunctionMissing(
        f"{name!r} cannot be called: importing {path} failed: {type(error).__name__}: {error}"
    ) from error


def _refuse_unlisted(name: str, found: Any) -> NoReturn:
    what = "a class" if isinstance(found, type) else f"something of type {type(found).__name__}"
    raise FunctionRefused(
        f"{name!r} leads to {what}, which the pattern of its module does not allow; "
        "add its exact path to the worker's allowed functions if it may run"
    )
