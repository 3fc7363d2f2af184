"""All kinds of faults."""

from __future__ import annotations

from havoc.faults import Kind
from havoc.schedule import DEPLOY
from havoc.strikes import processes, servers
from havoc.strikes.calls import spoil

# Seconds that a server is away besides those that its start takes.
BLINK, OUTAGE = (0, 0), (4, 12)

KINDS = (
    Kind("kill-worker", "kill -9 of an AsyncWorker", processes.kill, "worker"),
    Kind("kill-stock", "kill -9 of the stock worker and its child", processes.kill, "stock"),
    # A lease has 16 s in Redis and 20 s in Postgres: some outlive the pause, some do not.
    Kind("freeze-worker", "SIGSTOP of a worker, then SIGCONT", processes.freeze, "any worker", (5, 25)),
    Kind("kill-service", "kill -9 of a service", processes.kill, "service"),
    Kind("freeze-service", "SIGSTOP of a service, then SIGCONT", processes.freeze, "service", (3, 12)),
    Kind("flush-redis", "FLUSHALL", servers.flush, "valkey"),
    Kind("restart-redis", "Redis killed, back with its data", servers.restart, "valkey", BLINK),
    Kind("empty-redis", "Redis killed, back empty", servers.empty, "valkey", (0, 5)),
    Kind("redis-away", "Redis away for a while", servers.restart, "valkey", OUTAGE),
    Kind("cut-redis", "all connections of Redis cut", servers.cut_redis, "valkey"),
    Kind("restart-postgres", "Postgres killed, back with its data", servers.restart, "postgres", BLINK),
    Kind("postgres-away", "Postgres away for a while", servers.restart, "postgres", OUTAGE),
    Kind("cut-postgres", "all connections of Postgres cut", servers.cut_postgres, "postgres"),
    Kind("s3-away", "S3 away for a while", servers.restart, "s3", (2, 10)),
    Kind("aws-away", "the AWS stand-in away for a while", servers.restart_standin, "standin", (2, 10)),
    Kind("throttle", "AWS throttles calls", spoil("throttle"), calls=(10, 40)),
    Kind("error", "AWS answers 500", spoil("error"), calls=(5, 20)),
    Kind("unavailable", "AWS answers 503", spoil("unavailable"), calls=(5, 20)),
    # A call has 5 s: some are answered in time, some too late.
    Kind("slow", "AWS takes its time", spoil("latency"), seconds=(1, 9), calls=(5, 20)),
    Kind("drop", "AWS hangs up before the work", spoil("drop"), calls=(5, 20)),
    Kind("drop-after", "AWS hangs up after work that it bills", spoil("drop-after"), calls=(5, 20)),
    Kind("fail-job", "AWS's asynchronous jobs end FAILED", spoil("fail-job"), calls=(1, 2)),
    Kind("no-room", "Rekognition runs no more jobs", spoil("limit", "StartLabelDetection"), calls=(1, 4)),
)

DEPLOYS = Kind(DEPLOY, "SIGTERM of all workers", processes.deploy)
