"""All scenarios."""

from proof.scenario import Scenario
from proof.scenarios import deaths, held, idle, outages, shutdown, stock

SCENARIOS = (
    Scenario("kill", "kill -9 of a worker with 10 jobs running, 100 waiting", deaths.kill_workers),
    Scenario("info", "the same, with `rq info` in a loop beside it", deaths.kill_workers_watched),
    Scenario("hand-on", "1,000 jobs of 50 ms, the worker killed at 300", deaths.hand_on),
    Scenario("kill-many", "kill -9 of a worker with 1,000 jobs running", deaths.kill_many),
    Scenario("poison", "a job that kills every worker it runs on", deaths.kill_by_job),
    Scenario("restart", "kill -9 of Redis with 10 jobs running, 100 waiting", outages.restart_redis),
    Scenario("hang", "Redis hangs for longer than a lease", outages.freeze_redis),
    Scenario("flush", "FLUSHALL with 10 jobs running, 100 waiting", outages.empty_redis),
    Scenario("cuts", "2,000 jobs, all connections cut 20 times", outages.cut_connections),
    Scenario("held", "event loops held by a coroutine", held.hold_loops),
    Scenario("frozen", "SIGSTOP of a worker for 40 s, then SIGCONT", held.freeze_worker),
    Scenario("idle", "a job for a worker that has been idle", idle.wake_worker),
    Scenario("stop", "SIGTERM with 8 long jobs and 2 short ones", shutdown.stop_warm),
    Scenario("stop-twice", "SIGTERM twice", shutdown.stop_cold),
    Scenario("stop-held", "SIGTERM while a coroutine holds the event loop", shutdown.stop_held),
    Scenario("stop-threads", "SIGTERM while plain functions run", shutdown.stop_threads),
    Scenario("stop-away", "SIGTERM while Redis is away", shutdown.stop_without_redis),
    Scenario("stuck", "jobs in a stock worker's intermediate list", stock.free_stuck),
    Scenario("stock-poison", "kill -9 of stock workers, again and again", stock.kill_stock),
    Scenario("stock", "kill -9 of a stock worker; ours goes on", stock.run_on),
)
