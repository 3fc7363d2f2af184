"""The one server of all peers: Valkey with its default settings, except that it keeps nothing on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from mediaq.embedded import ports, valkey
from mediaq.embedded.supervisor import Supervisor

_PASSWORD = "bench"  # noqa: S105 -- guards nothing: the server lives for minutes, on 127.0.0.1


@contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """Run the server while the block runs; give its URL.

    Should this process be killed, the server ends too, and so do workers that carry the folder's mark.
    """
    port = ports.free_port()
    process = valkey.process(folder / "valkey", port=port, password=_PASSWORD, settings=valkey.THROWAWAY)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Supervisor(folder)) as supervisor,
    ):
        portal.call(supervisor.start, [process])
        yield valkey.url(port=port, password=_PASSWORD)
