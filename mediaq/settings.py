"""Settings: every table with its fields and defaults; how they are loaded is in `mediaq.loading`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import typed_settings as ts
from attrs import frozen

from mediaq.fields import (
    address,
    as_dollars,
    by_name,
    by_queue,
    choice,
    dollars,
    host_list,
    is_listed,
    key_prefix,
    number,
    parse_amounts,
    parse_concurrency,
    secret,
    signing_secret,
    switch,
    text,
    texts,
    web_address,
    whole,
)
from mediaq.loading import SHARED_NAMES, load, shown
from mediaq.media_settings import Aws, Completion, Embedding, Image, Limits, Reuse, Text, Video
from mediaq.queue_settings import Queue, Queues

__all__ = [
    "SHARED_NAMES",
    "Auth",
    "Aws",
    "Budgets",
    "Completion",
    "Database",
    "Embedding",
    "Events",
    "Image",
    "Limits",
    "Logs",
    "Queue",
    "Queues",
    "Redis",
    "Reuse",
    "Service",
    "Settings",
    "Text",
    "Traces",
    "Upkeep",
    "Video",
    "Worker",
    "load_settings",
    "shown",
]


@frozen
class Service:
    """Where the REST service listens, and how much it takes of each user."""

    host: str = text("127.0.0.1", "Address the REST service listens on.")
    port: int = whole(8000, "Port the REST service listens on.", least=0, most=65535)
    requests: float = number(
        0.0, "Requests a second that each user may make; 0: as many as they like.", most=1_000_000
    )
    open_jobs: int = whole(
        0, "Jobs of each user that may be open at once; 0: as many as they like.", least=0, most=1_000_000
    )
    metrics_token: ts.types.SecretStr = secret(
        "Bearer token with which Prometheus may read /metrics; admins may with their own."
    )
    metrics_public: bool = switch(False, "Whether anybody may read /metrics, which tells of costs too.")


@frozen
class Events:
    """How callers are told of their jobs while they listen."""

    heartbeat: float = number(
        15.0, "Seconds between two comments that keep an event stream open on its way.", least=0.1
    )
    retry: float = number(
        3.0, "Seconds after which clients are to open a stream again that was cut off.", least=0.001
    )
    look: float = number(
        2.0,
        "Seconds between two looks in Postgres for jobs that have ended without anyone having told.",
        least=0.001,
    )
    patience: float = number(
        30.0, "Seconds a client may take nothing of what it is sent before it is cut off.", least=0.001
    )


@frozen
class Auth:
    """Who may call the service."""

    secret: ts.types.SecretStr = secret(
        "Secret of HS256 tokens, at least 32 bytes; empty: HS256 tokens are refused.", least=32
    )
    jwks_url: str = web_address(
        "Where the public keys of RS256 and ES256 tokens are; empty: such tokens are refused."
    )
    jwks_outage: float = number(3600.0, "Seconds known keys go on being used while their server is away.")
    audience: str = text("", "The `aud` that tokens must carry; empty: not checked.")
    issuer: str = text("", "The `iss` that tokens must carry; empty: not checked.")
    admin_claim: str = text(
        "admin", "The claim that, when true, makes its bearer an admin; nested ones by dotted path."
    )
    cost_centers_claim: str = text(
        "", "The claim that lists the cost centers a caller may name; empty: any may be named."
    )
    s3_key_prefix: str = key_prefix(
        "What `s3Key` begins with, as in users/{userId}/, admins' aside; empty: it may be any."
    )
    leeway: float = number(30.0, "Seconds by which clocks may differ.")
    cookie_secure: bool = switch(
        True, "Whether browsers send session cookies over HTTPS only; false: for development over plain HTTP."
    )


@frozen
class Redis:
    """The Redis or Valkey server that holds the queues."""

    url: str = address(
        "redis://127.0.0.1:6379/0", "Redis or Valkey; RQ_REDIS_URL or REDIS_URL in the environment win."
    )
    timeout: float = number(5.0, "Seconds the service waits for Redis before it answers 503.", least=0.001)


@frozen
class Database:
    """The Postgres server that keeps the record."""

    url: str = address(
        "postgresql://127.0.0.1:5432/mediaq", "Postgres; DATABASE_URL in the environment wins."
    )
    pool_size: int = whole(10, "Connections a process keeps at most.")
    timeout: float = number(5.0, "Seconds to wait for a connection or a statement.", least=0.001)


@frozen
class Budgets:
    """What jobs may cost in a month (UTC), in US dollars."""

    user: float = dollars("Dollars a month for each user; 0: no limit.")
    users: str = by_name("Dollars a month by user, before `user`, as ann=20,bob=5.50.")
    cost_center: float = dollars("Dollars a month for each cost center; 0: no limit.")
    cost_centers: str = by_name("Dollars a month by cost center, before `cost_center`, as web=200,lab=50.")
    video_seconds: float = number(
        600.0, "Seconds that a video is assumed to last whose request has no duration.", most=86_400
    )

    def of_user(self, name: str) -> Decimal | None:
        """Returns what a user's jobs may cost in a month; None: no limit."""
        return parse_amounts(self.users).get(name, as_dollars(self.user)) or None

    def of_cost_center(self, name: str | None) -> Decimal | None:
        """Returns what a cost center's jobs may cost in a month; None: no limit, or no cost center."""
        if name is None:
            return None
        return parse_amounts(self.cost_centers).get(name, as_dollars(self.cost_center)) or None


@frozen
class Webhooks:
    """Whom jobs' ends are told, where their requests ask for it."""

    hosts: tuple[str, ...] = host_list(
        "Hosts that jobs' ends may be told: names, or *.example.com for all below; with the internal ones "
        "empty: nobody is told."
    )
    internal_hosts: tuple[str, ...] = host_list(
        "Further ones, whose addresses need not be public; addresses themselves may stand here too."
    )
    plain_http: bool = switch(False, "Whether URLs may begin with http; else with https only.")
    secret: ts.types.SecretStr = signing_secret(
        "What is sent is signed by: whsec_ and 24 to 64 bytes in Base64; all receivers know it."
    )
    former_secret: ts.types.SecretStr = signing_secret(
        "Signed by as well, while receivers still check by an earlier secret."
    )
    timeout: float = number(15.0, "Seconds a receiver has to answer.", least=0.001, most=300)
    first_wait: float = number(
        5.0, "Seconds before something is sent a second time; doubles, with jitter.", least=1, most=86400
    )
    longest_wait: float = number(
        3600.0, "Seconds between two times at most, jitter aside.", least=1, most=86400
    )
    patience: float = number(86_400.0, "Seconds after a job's end after which nothing is sent again.")
    look: float = number(0.5, "Seconds between two looks for ends that are to be told.", least=0.001)

    @secret.validator
    def _given(self, _: Any, secret: ts.types.SecretStr) -> None:
        if self.enabled and not secret:
            raise ValueError("webhooks.hosts and webhooks.internal_hosts need webhooks.secret")

    @property
    def enabled(self) -> bool:
        """Whether anybody may be told."""
        return bool(self.hosts or self.internal_hosts)

    def is_internal(self, host: str) -> bool:
        """Tells whether a host's addresses need not be public."""
        return is_listed(host, self.internal_hosts)

    def may_be_told(self, host: str) -> bool:
        """Tells whether a host is listed, as internal or not."""
        return is_listed(host, self.hosts) or self.is_internal(host)


@frozen
class Worker:
    """What a worker runs and how it lets others know that it lives."""

    functions: tuple[str, ...] = texts(
        ("mediaq.tasks.*",),
        "Functions that may run: dotted paths, or package.module.* for all that is defined there and below.",
    )
    concurrency: str = by_queue(
        "Jobs at once by queue, as image-processing=3,other=10; before their tables. MEDIAQ_CONCURRENCY wins."
    )
    default_concurrency: int = whole(10, "Jobs at once of a queue of which nothing else is said.")
    parked: int = whole(
        100,
        "Jobs of a queue that are taken beyond those that run, while others wait for something outside.",
        least=0,
    )
    grace: float = number(10.0, "Seconds running jobs have to end in when the worker is asked to stop.")
    beat: float = number(4.0, "Seconds between two signs of life that a worker gives in Redis.", least=0.1)
    dead_after: float = number(
        16.0,
        "Seconds without one after which others take its jobs over; at least three beats.",
        least=0.3,
    )
    lease: float = number(
        20.0, "Seconds a started job is its worker's on record, in Postgres, without a renewal.", least=0.001
    )
    deaths: int = whole(3, "How many workers a job may outlive before it fails as poison.")
    lag: float = number(
        1.0, "Seconds the event loop may be held before the stack of the guilty code is logged.", least=0.001
    )
    webhook_hosts: tuple[str, ...] = texts((), "Hosts that RQ's webhooks may be sent to.")
    metrics_host: str = text("127.0.0.1", "Address at which a worker shows its metrics, to anybody.")
    metrics_port: int = whole(
        0, "Port at which a worker shows them, at /metrics; 0: it does not.", least=0, most=65535
    )

    @dead_after.validator
    def _not_before_the_next_beats(self, _: Any, seconds: float) -> None:
        if seconds < 3 * self.beat:
            raise ValueError("worker.dead_after must be at least three times worker.beat")


@frozen
class Upkeep:
    """What service processes do in the background so that nothing accepted is forgotten."""

    interval: float = number(
        5.0,
        "Seconds between two comparisons of open jobs with Redis; up to 20 where there are thousands.",
        least=0.001,
    )
    batch: int = whole(200, "Open jobs compared at a time.")
    lost_after: float = number(
        60.0, "Seconds a job may be queued in no list before it is pushed again.", least=0.001
    )


@frozen
class Traces:
    """Whether there are traces; OpenTelemetry's own environment variables say where they go."""

    enabled: bool = switch(
        False,
        "Whether traces are sent by OTLP over HTTP; needs the extra traces, and OTel's own variables.",
    )


@frozen
class Logs:
    """What is logged and how."""

    level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = choice(
        "INFO", "Least level that is logged."
    )
    format: Literal["auto", "human", "json"] = choice(
        "auto", "human, json, or auto: human on a terminal, else json."
    )


@frozen
class Settings:
    """Every setting of mediaq; config.toml shows them with their defaults."""

    service: Service = Service()
    events: Events = Events()
    auth: Auth = Auth()
    redis: Redis = Redis()
    database: Database = Database()
    aws: Aws = Aws()
    completion: Completion = Completion()
    limits: Limits = Limits()
    image: Image = Image()
    video: Video = Video()
    text: Text = Text()
    embedding: Embedding = Embedding()
    reuse: Reuse = Reuse()
    budgets: Budgets = Budgets()
    worker: Worker = Worker()
    webhooks: Webhooks = Webhooks()
    upkeep: Upkeep = Upkeep()
    logs: Logs = Logs()
    traces: Traces = Traces()
    queues: Queues = Queues()

    def concurrency(self) -> dict[str, int]:
        """Returns how many jobs run at once, by queue; other queues have `worker.default_concurrency`."""
        own = {name: self.queues.named(name).concurrency for name in self.queues.names()}
        return own | parse_concurrency(self.worker.concurrency)


def load_settings(path: Path | None = None) -> Settings:
    """Loads the settings: defaults, then the file, then the environment.

    Args:
        path: The TOML file; by default what `MEDIAQ_CONFIG` names, else `config.toml` in the current folder
            if there is one.

    Raises:
        SettingsError: A key is unknown, a value is bad, or a named file is missing or not TOML.
    """
    return load(Settings, path)
