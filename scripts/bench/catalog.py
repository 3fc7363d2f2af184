"""Who takes part. The versions are pinned: figures of two days are to be of the same libraries."""

from collections.abc import Callable

from redis import Redis

from bench.given import QUEUE
from bench.peer import PEERS as FOLDER
from bench.peer import Peer, Runtime

MEDIAQ, RQ_SIMPLE, RQ_FORK, BULLMQ = "mediaq", "rq-simple", "rq-fork", "bullmq-py"
HIREDIS = "hiredis==3.5.0"
ALL_MODES = ("single", "gathered", "batch")

Finished = Callable[[Redis, int], int]


def members_of(key: str) -> Finished:
    """Count the members of a sorted set that finished jobs enter."""
    return lambda redis, _total: redis.zcard(key)


def gone_from(key: str) -> Finished:
    """Count those that are missing in a sorted set that jobs leave when they finish."""
    return lambda redis, total: total - redis.zcard(key)


def keys_in(database: int) -> Finished:
    """Count the keys of a database that holds nothing but results."""

    def count(redis: Redis, _total: int) -> int:
        space = redis.info("keyspace").get(f"db{database}")
        return space["keys"] if space else 0

    return count


PEERS = (
    Peer(
        MEDIAQ,
        "mediaq",
        producer="mediaq",
        worker=("-m", "bench.peers.mediaq"),
        finished=members_of(f"rq:finished:{QUEUE}"),
        pace=6000,
        modes=ALL_MODES,
    ),
    Peer(
        BULLMQ,
        "BullMQ, Python",
        producer="bullmq",
        worker=("-m", "bench.peers.bullmq"),
        finished=members_of(f"bull:{QUEUE}:completed"),
        packages=("bullmq==3.4.4", "redis==8.1.0", HIREDIS),
        pace=2500,
        modes=ALL_MODES,
    ),
    Peer(
        RQ_SIMPLE,
        "RQ SimpleWorker",
        producer="rq",
        worker=("-m", "rq.cli", "worker", "--worker-class", "rq.SimpleWorker", QUEUE),
        finished=members_of(f"rq:finished:{QUEUE}"),
        pace=300,
        concurrencies=(1,),
        modes=("single", "batch"),
    ),
    Peer(
        RQ_FORK,
        "RQ fork worker",
        producer="rq",
        worker=("-m", "rq.cli", "worker", QUEUE),
        finished=members_of(f"rq:finished:{QUEUE}"),
        pace=70,
        concurrencies=(1,),
        modes=(),
    ),
    Peer(
        "saq",
        "saq",
        producer="saq",
        worker=("-m", "saq", "bench.peers.saq.settings"),
        finished=gone_from(f"saq:{QUEUE}:incomplete"),
        packages=("saq[redis]==0.26.4", "redis==7.4.1", "typing-extensions==4.16.0", HIREDIS),
        pace=2000,
    ),
    Peer(
        "taskiq",
        "taskiq, stream with results",
        producer="taskiq",
        worker=(
            "-m",
            "taskiq",
            "worker",
            "bench.peers.taskiq:broker",
            "-w1",
            "--max-async-tasks={concurrency}",
        ),
        finished=keys_in(database=1),
        packages=("taskiq==0.13.0", "taskiq-redis==1.2.4", "redis==8.1.0", HIREDIS),
        pace=1700,
    ),
    Peer(
        "streaq",
        "streaq",
        producer="streaq",
        worker=("-m", "streaq", "run", "bench.peers.streaq:worker"),
        finished=members_of(f"streaq:{QUEUE}:index:results"),
        packages=("streaq==7.2.0", "coredis==6.9.0", HIREDIS),
        pace=1200,
        modes=ALL_MODES,
    ),
    Peer(
        "arq",
        "arq",
        producer="arq",
        worker=("-m", "arq", "bench.peers.arq.WorkerSettings"),
        finished=gone_from("arq:queue"),
        packages=("arq==0.28.0", "redis==5.3.1", HIREDIS),
        pace=600,
    ),
    Peer(
        "bullmq-node",
        "BullMQ, Node",
        producer="bullmq",
        worker=(str(FOLDER / "bullmq.cjs"), "work"),
        finished=members_of(f"bull:{QUEUE}:completed"),
        packages=("bullmq@6.7.0", "ioredis@6.0.0"),
        pace=10000,
        modes=ALL_MODES,
        runtime=Runtime.NODE,
    ),
)
