"""As much of S3 as reads large objects quickly: a folder's files, by HEAD, ranged GET and PUT.

moto reads an object whole for each range of it.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves a folder, whose folders are the buckets; gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, folder: Path, *args: Any) -> None:
        self._folder = folder
        super().__init__(*args)

    def log_message(self, *_: Any) -> None:
        pass

    @property
    def _file(self) -> Path:
        return self._folder / self.path.partition("?")[0].lstrip("/")

    def do_HEAD(self) -> None:
        if self._file.is_file():
            self._answer(200, self._file.stat().st_size)
        else:
            self._answer(200 if self._file.is_dir() else 404, 0)

    def do_GET(self) -> None:
        if not self._file.is_file():
            self._answer(404, 0)
            return
        size = self._file.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), min(int(asked[2]), size - 1)) if asked else (0, size - 1)
        with self._file.open("rb") as file:
            file.seek(first)
            content = file.read(last - first + 1)
        self._answer(206 if asked else 200, len(content))
        self.wfile.write(content)

    def do_PUT(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200, 0)

    def _answer(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", '"unchanged"')
        self.end_headers()
