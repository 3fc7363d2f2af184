"""S3 for development: moto's server, whose objects survive restarts and kill -9.

`python -m mediaq.embedded.s3 --port N --data DIR --bucket NAME` serves on 127.0.0.1 until SIGTERM or SIGINT.
Every request that changes an object is answered only after the change lies in DIR. Versions, tags and access
lists of objects are not kept.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Request

from mediaq.embedded import ports
from mediaq.embedded.objects import ObjectFolder
from mediaq.embedded.processes import Process

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CHANGING = frozenset({"PUT", "POST", "DELETE"})
# moto keeps larger values in temporary files; its own bound is 5 MB.
_IN_MEMORY_BYTES = 256 * 1024


def process(data: Path, *, port: int, bucket: str) -> Process:
    """Return the process that serves the objects of a folder, with a bucket made where it is missing."""
    module = [sys.executable, "-m", "mediaq.embedded.s3"]
    options = ["--port", str(port), "--data", str(data), "--bucket", bucket]
    return Process("s3", [*module, *options], ready=partial(ports.listening, port))


def url(*, port: int) -> str:
    """Return the endpoint URL of a server on 127.0.0.1."""
    return f"http://127.0.0.1:{port}"


def keeping(app: "WSGIApplication", folder: ObjectFolder) -> "WSGIApplication":
    """Wrap moto's application so that each change lies in the folder before the client hears of it."""

    def keep_then_answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        answer = app(environ, start_response)
        if environ["REQUEST_METHOD"] in _CHANGING:
            bucket, _, key = Request(environ).path.lstrip("/").partition("/")
            folder.keep(bucket, key)
        return answer

    return keep_then_answer


def main() -> None:
    """Load the kept objects, make the bucket where it is missing, and serve."""
    parser = argparse.ArgumentParser(prog="python -m mediaq.embedded.s3", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1; 0: any free one")
    parser.add_argument("--data", type=Path, required=True, help="folder of the objects")
    parser.add_argument("--bucket", required=True, help="made where it is missing")
    options = parser.parse_args()
    os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", str(_IN_MEMORY_BYTES))
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _exit)
    folder = ObjectFolder(options.data)
    folder.load()
    folder.make_bucket(options.bucket)
    serve(folder, options.port)


def serve(folder: ObjectFolder, port: int) -> None:
    """Serve moto's S3 on 127.0.0.1, a thread for each request, and say so in one line."""
    app = keeping(DomainDispatcherApplication(create_backend_app), folder)
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=MotoRequestHandler)
    print(f"S3 serves {folder.root} on {url(port=server.port)}", flush=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()


def _exit(_signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
