"""A worker's process: `python -m proof.worker NAME '{"queue": slots}' '{"option": value}'`."""

import json
import sys

from redis import Redis

from mediaq.queue.options import Options
from mediaq.queue.worker import AsyncWorker
from proof import given


def main() -> None:
    """Work until SIGTERM."""
    name, slots, more = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    options = Options(functions=("proof.tasks.*",), concurrency=slots, **more)
    worker = AsyncWorker(list(slots), name, connection=Redis.from_url(given.url()), options=options)
    worker.work(logging_level="INFO")


if __name__ == "__main__":
    main()
