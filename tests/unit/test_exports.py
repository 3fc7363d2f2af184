"""What `import mediaq` brings, and what it leaves where it is."""

import subprocess
import sys

import pytest

import mediaq

# What the service and the pipelines need, and those do not who use the queues alone.
HEAVY = ("aioboto3", "aiobotocore", "asyncpg", "starlette", "uvicorn", "av")


def loaded_after(code: str) -> set[str]:
    """Run code in a fresh interpreter and return the modules it has loaded."""
    show = "import sys; print(*sys.modules)"
    command = [sys.executable, "-c", f"{code}\n{show}"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize("name", mediaq.__all__)
def test_what_the_package_exports_needs_neither_aws_nor_postgres_nor_http(name: str) -> None:
    loaded = loaded_after(f"import mediaq; mediaq.{name}")
    assert loaded.isdisjoint(HEAVY)
    assert "mediaq.queue" in loaded


def test_importing_the_package_loads_nothing_else_of_it() -> None:
    loaded = {name for name in loaded_after("import mediaq") if name.startswith("mediaq")}
    assert loaded == {"mediaq"}


def test_exports_are_those_of_their_modules() -> None:
    from mediaq.queue.parking import waiting
    from mediaq.queue.queue import Queue

    assert (mediaq.Queue, mediaq.waiting) == (Queue, waiting)
    assert set(mediaq.__all__) <= set(dir(mediaq))
    with pytest.raises(AttributeError, match="nothing"):
        mediaq.nothing  # noqa: B018
