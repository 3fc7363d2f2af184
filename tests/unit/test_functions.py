"""The allow-list: names are decided on before anything is imported, and what they lead to after."""

import importlib
import math
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from rq.utils import import_attribute

from mediaq.queue.functions import LONGEST_NAME, FunctionRefused, Functions

TASKS = """
    import functools, os, types
    from os import system
    from functools import partial as made
    from shop.other import elsewhere, Elsewhere, Base, wrapped, closed

    nothing = None
    number = 5
    ran = []

    def send(*args, **kwargs): return "sent", args, kwargs
    async def receive(): return "received"
    def _private(): pass
    renamed = send
    public = _private
    shout = lambda: None
    later = functools.partial(send, 1)
    cached = functools.lru_cache(send)
    send.attribute = system

    @wrapped
    def decorated(): return "decorated"
    @closed
    def hidden(): return "hidden"

    class Mailer:
        prefix = "mail"
        def plain(self): return "plain"
        @staticmethod
        def static(): return "static"
        @classmethod
        def made(cls): return cls.prefix
        @property
        def asked(self): ran.append("asked")
        @wrapped
        def decorated(self): return "decorated"
        class Inner:
            @staticmethod
            def deep(): return "deep"
        imported = staticmethod(system)
        upper = str.upper
        other = Elsewhere
        _secret = staticmethod(send)
    Mailer.same = Mailer
    class Child(Mailer): prefix = "child"
    class Stranger(Base): pass

    class Callable:
        def __call__(self): return "called"
        def method(self): return "method"
    instance = Callable()

    class Proxy:
        def __getattr__(self, name): ran.append(name); return system
        def __call__(self): pass
    proxy = Proxy()
    space = types.SimpleNamespace(run=send)

    def __getattr__(name):
        ran.append(name)
        if name == "lazy": return send
        raise AttributeError(name)
"""
OTHER = """
    import functools
    def elsewhere(): return "elsewhere"
    class Elsewhere:
        @staticmethod
        def run(): pass
    class Base:
        @staticmethod
        def inherited(): return "inherited"
    def wrapped(function):
        @functools.wraps(function)
        def wrapper(*args): return function(*args)
        return wrapper
    def closed(function):
        def wrapper(): return function()
        return wrapper
"""
BELOW = """
    def run(): return "below"
    class Job:
        @staticmethod
        def run(): return "job"
"""
FILES = {
    "shop/__init__.py": "",
    "shop/other.py": OTHER,
    "shop/tasks/__init__.py": TASKS,
    "shop/tasks/below.py": BELOW,
    "shop/tasks/send.py": "def run(): return 'a module of a name that a function has too'",
    "shop/tasks/_hidden.py": "def run(): pass",
    "shop/tasks/data/keep.txt": "",
    "shop/broken/lacks.py": "import there_is_no_such_module",
    "shop/broken/cannot.py": "from shop.other import there_is_no_such_name",
    "shop/broken/raises.py": "raise RuntimeError('no licence')",
    "shop/broken/exits.py": "raise SystemExit(3)",
    "shop/broken/syntax.py": "def",
    "shop/broken/deep/__init__.py": "import shop.broken.deep.absent",
    "shop/broken/deep/module.py": "def run(): pass",
    "shop/marker.py": "raise BaseException('imported')",
}
ALL = Functions(["shop.tasks.*"])


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package `shop` that can be imported, and has not been."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.fixture
def tasks() -> Functions:
    return Functions(["shop.tasks.*"])


def refusal(act: Callable[[str], Any], name: Any) -> str:
    with pytest.raises(FunctionRefused) as refused:
        act(name)
    return str(refused.value)


def imported() -> set[str]:
    return {name for name in sys.modules if name.split(".")[0] == "shop"}


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("shop.tasks.send", ("sent", (), {})),
        ("shop.tasks.renamed", ("sent", (), {})),
        ("shop.tasks.cached", ("sent", (), {})),
        ("shop.tasks.decorated", "decorated"),
        ("shop.tasks.Mailer.static", "static"),
        ("shop.tasks.Mailer.made", "mail"),
        ("shop.tasks.Child.made", "child"),
        ("shop.tasks.Child.static", "static"),
        ("shop.tasks.below.run", "below"),
        ("shop.tasks.below.Job.run", "job"),
        ("shop.tasks.send.run", "a module of a name that a function has too"),
    ],
)
def test_a_pattern_allows_what_is_defined_in_its_module_and_below_as_rq_finds_it(
    tasks: Functions, name: str, result: Any
) -> None:
    found = tasks.resolve(name)
    assert found() == result
    assert found == import_attribute(name)


def test_what_rq_does_not_find_is_found_too_where_it_is_defined(tasks: Functions) -> None:
    assert tasks.resolve("shop.tasks.Mailer.Inner.deep")() == "deep"
    with pytest.raises(ValueError, match="Invalid attribute name"):
        import_attribute("shop.tasks.Mailer.Inner.deep")


def test_a_method_is_found_as_a_function_of_its_object(tasks: Functions) -> None:
    assert tasks.resolve("shop.tasks.Mailer.plain")("self") == "plain"
    assert tasks.resolve("shop.tasks.Mailer.decorated")("self") == "decorated"


async def test_a_coroutine_function_is_found(tasks: Functions) -> None:
    assert await tasks.resolve("shop.tasks.receive")() == "received"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("shop.tasks.system", "is posix.system"),
        ("shop.tasks.elsewhere", "is shop.other.elsewhere"),
        ("shop.tasks.Elsewhere.run", "is shop.other.Elsewhere"),
        ("shop.tasks.Stranger.inherited", "is shop.other.Base.inherited"),
        ("shop.tasks.Mailer.imported", "is posix.system"),
        ("shop.tasks.Mailer.other.run", "is shop.other.Elsewhere"),
        ("shop.tasks.public", "is shop.tasks._private"),
        ("shop.tasks.hidden", "is shop.other.closed.<locals>.wrapper"),
        ("shop.tasks.shout", "is shop.tasks.<lambda>"),
        ("shop.tasks.made", "is functools.partial"),
    ],
)
def test_what_is_defined_elsewhere_is_refused_by_its_own_name(
    tasks: Functions, name: str, reason: str
) -> None:
    message = refusal(tasks.resolve, name)
    assert repr(name) in message
    assert reason in message
    assert "add it to the worker's allowed functions" in message


@pytest.mark.parametrize(
    "name",
    [
        "shop.tasks.os.system",
        "shop.tasks.functools.partial",
        "shop.tasks.later",
        "shop.tasks.instance",
        "shop.tasks.instance.method",
        "shop.tasks.proxy",
        "shop.tasks.proxy.system",
        "shop.tasks.space.run",
        "shop.tasks.Mailer",
        "shop.tasks.Mailer.Inner",
        "shop.tasks.Mailer.asked",
        "shop.tasks.Mailer.upper",
        "shop.tasks.number",
        "shop.tasks.ran.append",
    ],
)
def test_what_does_not_tell_where_it_was_defined_and_classes_have_to_be_listed(
    tasks: Functions, name: str
) -> None:
    assert "add its exact path to the worker's allowed functions" in refusal(tasks.resolve, name)


@pytest.mark.parametrize(
    "name",
    [
        "shop.tasks.absent",
        "shop.tasks.nothing",
        "shop.tasks.lazy",
        "shop.tasks.absent.run",
        "shop.tasks.below.absent",
        "shop.tasks.Mailer.absent",
        "shop.tasks.decorated.attribute",
        "shop.tasks.renamed.attribute",
        "shop.tasks.cached.cache_clear",
        "shop.tasks.data",
        "shop.tasks.data.keep",
        "shop.tasks.below",
    ],
)
def test_what_is_not_there_does_not_exist(tasks: Functions, name: str) -> None:
    assert f"{name!r} does not exist" in refusal(tasks.resolve, name)


def test_nothing_of_a_module_is_run_to_look_a_name_up(tasks: Functions) -> None:
    for name in ("lazy", "anything", "proxy.system", "Mailer.asked", "absent.run"):
        refusal(tasks.resolve, f"shop.tasks.{name}")
    assert sys.modules["shop.tasks"].ran == []


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("shop.tasks.later", ("sent", (1,), {})),
        ("shop.tasks.instance", "called"),
        ("shop.tasks.instance.method", "method"),
        ("shop.tasks.elsewhere", "elsewhere"),
        ("shop.tasks.hidden", "hidden"),
        ("shop.tasks.lazy", ("sent", (), {})),
        ("shop.tasks._private", None),
        ("shop.tasks.shout", None),
        ("shop.tasks.space.run", ("sent", (), {})),
    ],
)
def test_an_exact_path_allows_whatever_callable_is_there(name: str, result: Any) -> None:
    assert Functions([name]).resolve(name)() == result


def test_an_exact_path_allows_nothing_else() -> None:
    functions = Functions(["shop.tasks.Mailer", "shop.tasks.number", "builtins.len"])
    assert functions.resolve("shop.tasks.Mailer").__name__ == "Mailer"
    assert functions.resolve("builtins.len") is len
    for name in ("shop.tasks.Mailer.static", "shop.tasks.send", "shop.tasks", "len", "builtins.eval"):
        assert "not among the worker's allowed functions" in refusal(functions.resolve, name)
    assert "is no function but of type int" in refusal(functions.resolve, "shop.tasks.number")


def test_what_a_module_imports_is_allowed_where_its_own_name_is() -> None:
    functions = Functions(["shop.tasks.*", "shop.other.*"])
    assert functions.resolve("shop.tasks.elsewhere")() == "elsewhere"
    assert functions.resolve("shop.tasks.Stranger.inherited")() == "inherited"


def test_a_pattern_may_name_a_class_or_something_private() -> None:
    assert Functions(["shop.tasks.Mailer.*"]).resolve("shop.tasks.Mailer.static")() == "static"
    assert Functions(["shop.tasks._hidden.*"]).resolve("shop.tasks._hidden.run")() is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "*",
        "eval",
        "exec",
        "__import__",
        "builtins.eval",
        "os.system",
        "posix.system",
        "shop",
        "shop.tasks",
        "shop.tasks.",
        "shop.tasks..",
        "shop.tasks.*",
        "shop.tasks..send",
        "shop..tasks.send",
        ".shop.tasks.send",
        "shop.tasks.send.",
        "shop.tasks.send\n",
        " shop.tasks.send",
        "shop.tasks.send\0",
        "shop.tasks. send",
        "shop.tasks.send()",
        "shop.tasks.send;x",
        "shop.tasks./etc/passwd",
        "shop.tasks.1",
        "shop.tasks.\ud800",
        "shop.tasks.\u200bsend",
        "ѕhop.tasks.send",  # noqa: RUF001 - a Cyrillic letter
        "SHOP.TASKS.send",
        "shop.tasks2.send",
        "shop.tasksend",
        "shop.other.elsewhere",
        "shop.tasks._private",
        "shop.tasks._hidden.run",
        "shop.tasks.__getattr__",
        "shop.tasks.__builtins__.eval",
        "shop.tasks.__builtins__",
        "shop.tasks.__dict__.clear",
        "shop.tasks.send.__globals__.clear",
        "shop.tasks.send.__code__",
        "shop.tasks.Mailer._secret",
        "shop.tasks.Mailer.__subclasses__",
        "shop.tasks.Mailer.__init__",
        "shop.marker.run",
        b"shop.tasks.send",
        None,
        5,
        ["shop.tasks.send"],
        {"shop.tasks.send": 1},
        ("shop.tasks.send",),
        len,
    ],
    ids=repr,
)
def test_a_name_that_is_not_allowed_is_refused_and_nothing_is_imported(name: Any) -> None:
    functions = Functions(["shop.tasks.*", "math.sqrt"])
    for act in (functions.check, functions.resolve):
        message = refusal(act, name)
        message.encode()
        assert len(message) < 1000
    assert imported() == set()


def test_a_huge_name_is_refused_in_few_words(tasks: Functions) -> None:
    longest = "shop.tasks." + "a" * (LONGEST_NAME - 11)
    tasks.check(longest)
    for name in (longest + "a", "shop.tasks." + "a." * 10**6, "\ud800" * 10**7):
        assert len(refusal(tasks.resolve, name)) < 400
    assert imported() == set()


def test_check_imports_nothing_of_what_is_allowed_either(tasks: Functions) -> None:
    tasks.check("shop.tasks.send")
    tasks.check("shop.tasks.below.Job.run")
    tasks.check("shop.tasks.größe")
    assert tasks.known("shop.tasks.send") is None
    assert imported() == set()


def test_only_the_modules_that_the_name_goes_through_are_imported(tasks: Functions) -> None:
    tasks.resolve("shop.tasks.below.run")
    assert imported() == {"shop", "shop.tasks", "shop.other", "shop.tasks.below"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("lacks.run", "lacks failed: ModuleNotFoundError: No module named 'there_is_no_such_module'"),
        ("lacks.Job.run", "lacks failed: ModuleNotFoundError: No module named 'there_is_no_such_module'"),
        ("cannot.run", "cannot failed: ImportError: cannot import name 'there_is_no_such_name'"),
        ("raises.run", "raises failed: RuntimeError: no licence"),
        ("exits.run", "exits failed: SystemExit: 3"),
        ("syntax.run", "syntax failed: SyntaxError: invalid syntax"),
        ("deep.run", "deep failed: ModuleNotFoundError: No module named 'shop.broken.deep.absent'"),
        ("deep.absent.run", "deep failed: ModuleNotFoundError: No module named 'shop.broken.deep.absent'"),
    ],
)
@pytest.mark.parametrize("exact", [False, True])
def test_a_module_that_cannot_be_imported_is_named_with_the_cause(
    name: str, reason: str, *, exact: bool
) -> None:
    path = f"shop.broken.{name}"
    functions = Functions([path if exact else "shop.broken.*"])
    with pytest.raises(FunctionRefused) as refused:
        functions.resolve(path)
    assert f"{path!r} cannot be called: importing shop.broken.{reason}" in str(refused.value)
    assert refused.value.__cause__ is not None


@pytest.mark.parametrize("pattern", ["nowhere.*", "nowhere.run", "nowhere.deep.run", "shop.nowhere.run"])
def test_an_allowed_path_that_leads_nowhere_does_not_exist(pattern: str) -> None:
    name = pattern.replace("*", "run")
    assert f"{name!r} does not exist" in refusal(Functions([pattern]).resolve, name)


def test_a_module_that_could_not_be_imported_is_tried_again(tasks: Functions, tmp_path: Path) -> None:
    path = tmp_path / "shop/tasks/below.py"
    whole = path.read_text()
    path.write_text("raise RuntimeError('not yet')")
    refusal(tasks.resolve, "shop.tasks.below.run")
    path.write_text(whole)
    importlib.invalidate_caches()
    assert tasks.resolve("shop.tasks.below.run")() == "below"


def test_a_function_is_looked_up_once(tasks: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tasks.resolve("shop.tasks.send")
    monkeypatch.setattr("shop.tasks.send", None)
    assert tasks.resolve("shop.tasks.send") is found
    assert tasks.known("shop.tasks.send") is found


def test_names_without_end_for_one_function_are_not_all_remembered(
    tasks: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediaq.queue.functions.MOST_KNOWN", 20)
    names = [f"shop.tasks.Mailer{'.same' * times}.static" for times in range(50)]
    assert {tasks.resolve(name)() for name in names} == {"static"}
    assert [name for name in names if tasks.known(name)] == names[:20]


def test_names_that_lead_nowhere_leave_nothing_behind(tasks: Functions) -> None:
    tasks.resolve("shop.tasks.send")
    before = len(sys.modules)
    for number in range(100):
        for name in (f"shop.tasks.a{number}", f"shop.tasks.a{number}.b", f"shop.tasks.below.a{number}"):
            refusal(tasks.resolve, name)
    assert len(sys.modules) <= before + 1
    assert tasks.known("shop.tasks.a1") is None


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "*",
            ".*",
            "eval",
            "shop.",
            "shop..*",
            "shop.*.run",
            "shop.**",
            "shop.tasks*",
            "*.run",
            "shop.1.*",
        ),
        *("shop.1.*", "shop tasks.run", "shop.tasks.run ", "shop-tasks.run", "shop.tasks.run()"),
    ],
)
def test_a_pattern_that_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"package\.module\.function or package\.module\.\* is wanted"):
        Functions(["shop.tasks.*", pattern])


def test_without_patterns_nothing_is_allowed() -> None:
    refusal(Functions([]).resolve, "math.sqrt")


def test_builtin_functions_are_of_the_module_that_defines_them() -> None:
    assert Functions(["math.*"]).resolve("math.sqrt") is math.sqrt
    assert "is posixpath.join" in refusal(Functions(["os.*"]).resolve, "os.path.join")


parts = some.sampled_from(
    ["shop", "tasks", "os", "system", "send", "Mailer", "imported", "", "*", "_private", "__class__", "proxy"]
) | some.text(max_size=3)


@given(some.lists(parts, max_size=6))
def test_whatever_the_name_only_functions_of_the_module_are_found(path: list[str]) -> None:
    name = ".".join(["shop.tasks", *path])
    try:
        found = ALL.resolve(name)
    except FunctionRefused:
        return
    assert found.__module__.startswith("shop.tasks")
    assert not any(part.startswith("_") for part in found.__qualname__.split("."))
