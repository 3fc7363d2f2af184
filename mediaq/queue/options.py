"""What an AsyncWorker may be told, beyond RQ's own arguments."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class Options:
    """How an AsyncWorker works.

    Args:
        functions: What may run, callbacks included: dotted paths, or `package.module.*` for all that is
            defined below it. Nothing else is imported.
        concurrency: Jobs at once, by queue.
        default_concurrency: Jobs at once of a queue that is not named.
        parked: Jobs of a queue that are taken beyond its slots while others are parked, at most.
        grace: Seconds running jobs have to end after a stop was asked for, before they are handed back.
        lease: Seconds without a sign of life after which another worker takes this one's jobs over.
        beat: Seconds between two signs of life; the lease should be three of them at least.
        deaths: How many workers a job may outlive before it fails as poison.
        keep_finished: Finished jobs that stay in Redis at most, by queue; a queue not named keeps all until
            their time to live ends.
        webhook_hosts: Hosts that RQ's webhooks may be sent to.
        lag: Seconds the event loop may be held before the stack of the guilty code is logged.
    """

    functions: tuple[str, ...] = ()
    concurrency: Mapping[str, int] = field(factory=dict)
    default_concurrency: int = 10
    parked: int = 100
    grace: float = 10.0
    lease: float = 16.0
    beat: float = 4.0
    deaths: int = 3
    keep_finished: Mapping[str, int] = field(factory=dict)
    webhook_hosts: tuple[str, ...] = ()
    lag: float = 1.0
