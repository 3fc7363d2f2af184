"""Settings: defaults here, overridden by a TOML file, overridden by environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import attrs
import typed_settings as ts
from attrs import frozen

from mediaq.errors import SettingsError
from mediaq.fields import (
    address,
    as_dollars,
    by_name,
    by_operation,
    by_queue,
    choice,
    dollars,
    host_list,
    is_listed,
    key_prefix,
    mask,
    number,
    one_of,
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

PREFIX = "MEDIAQ_"
# typed-settings parses the source of this module each time; before Python 3.12 two threads that parse at once
# may fail with a SystemError ("AST constructor recursion depth mismatch").
PARSING = Lock()
# Read by the programs themselves: the file to load, and what the command line's API calls use.
NOT_SETTINGS = frozenset({"MEDIAQ_CONFIG", "MEDIAQ_API_URL", "MEDIAQ_TOKEN"})
# Names that other tools share, and short ones. They win over the file and lose against MEDIAQ_SECTION__KEY.
# Of several for one setting the last wins: mediaq uses the server that RQ's own tools use.
SHARED_NAMES = {
    "REDIS_URL": "redis.url",
    "RQ_REDIS_URL": "redis.url",
    "DATABASE_URL": "database.url",
    "AWS_REGION": "aws.region",
    "MEDIAQ_CONCURRENCY": "worker.concurrency",
}

# Lengths of vectors that the models make; each has an index of its own in store/migrations.
LENGTHS = (256, 384, 512, 1024, 1536)


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
        "", "The claim that lists the cost centres a caller may name; empty: any may be named."
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
class Aws:
    """How AWS is called; credentials and endpoints come from AWS's own environment variables."""

    region: str = text("us-east-1", "Region; AWS_REGION in the environment wins.")
    bucket: str = text(
        "media", "Bucket that uploads are in; thumbnails and transcripts are written there too."
    )
    read_by_reference: bool = switch(
        True, "Whether Rekognition may read the bucket itself; false: images are sent to it as bytes."
    )
    first_wait: float = number(0.2, "Seconds before the first repetition; doubles, with jitter.", least=0.001)
    longest_wait: float = number(20.0, "Seconds between two repetitions at most.", least=0.001)
    provider_patience: float = number(
        900.0,
        "Seconds an operation goes on repeating while its job's timeout allows, before the attempt fails.",
    )
    call_timeout: float = number(
        60.0, "Seconds one call may take before it counts as unanswered.", least=0.001
    )
    connections: int = whole(50, "Connections to each AWS service at most.")
    first_poll: float = number(
        1.0, "Seconds before the first look at an asynchronous job; grows by half.", least=0.001
    )
    longest_poll: float = number(15.0, "Seconds between two looks at most.", least=0.001)


@frozen
class Completion:
    """How AWS tells that its asynchronous jobs have ended; with or without, it is asked."""

    queue_url: str = text(
        "", "URL of the SQS queue that notices of ended jobs come to; empty: AWS is asked again and again."
    )
    topic_arn: str = text(
        "", "ARN of the SNS topic that feeds the queue, for Rekognition to publish to; empty: it is asked."
    )
    role_arn: str = text("", "ARN of the role in which Rekognition publishes to the topic.")

    @role_arn.validator
    def _complete(self, _: Any, role_arn: str) -> None:
        if bool(self.topic_arn) != bool(role_arn):
            raise ValueError("completion.topic_arn and completion.role_arn are needed together")
        if self.topic_arn and not self.queue_url:
            raise ValueError("completion.topic_arn needs completion.queue_url, which the topic feeds")


@frozen
class Limits:
    """What AWS lets the account do, which all workers keep together."""

    rates: str = by_operation(
        "Calls per second, as rekognition.DetectLabels=50,comprehend.DetectSentiment=20; of operations that "
        "are not named, AWS's default quotas in the region."
    )
    share: float = number(
        0.98, "Share of those rates that is used; AWS counts by a clock of its own.", most=1, least=0.1
    )
    video_jobs: int = whole(20, "Video jobs that Rekognition runs at once.")
    transcription_jobs: int = whole(100, "Jobs that Transcribe runs at once.")


@frozen
class Image:
    """How images are converted that Rekognition does not take as they are stored."""

    conversions: int = whole(1, "Images converted at once in a process, each in a process of its own.")
    most_bytes: int = whole(200_000_000, "Bytes of an image that is converted at most.")
    most_pixels: int = whole(200_000_000, "Pixels of an image that is converted at most.")
    memory: int = whole(
        1 << 30, "Bytes of memory that one conversion may take, where the system can limit it (Linux)."
    )
    timeout: int = whole(60, "Seconds one conversion may take.")


@frozen
class Video:
    """What is made of videos."""

    thumbnails: int = whole(5, "Thumbnails taken of a video, at even times.")
    thumbnail_side: int = whole(640, "Longer side of a thumbnail in pixels at most.")
    thumbnail_prefix: str = text("thumbnails/", "Where in the bucket thumbnails go.")
    transcript_prefix: str = text("transcripts/", "Where in the bucket transcripts and subtitles go.")
    longest_sound: float = number(
        14400.0, "Seconds of sound that Transcribe takes at most: 4 hours, more where your account may."
    )


@frozen
class Text:
    """How texts are read."""

    most_bytes: int = whole(10 * 1024 * 1024, "Bytes of UTF-8 that a text in S3 may have.")


@frozen
class Embedding:
    """How embeddings are made."""

    provider: Literal["bedrock", "openai"] = choice(
        "bedrock", "Who embeds text: bedrock or openai. Images go to bedrock."
    )
    text_model: str = text("amazon.titan-embed-text-v2:0", "Bedrock's model for text.")
    image_model: str = text("amazon.titan-embed-image-v1", "Bedrock's model for images and video frames.")
    openai_model: str = text("text-embedding-3-small", "OpenAI's model for text.")
    models: tuple[str, ...] = texts(
        (
            "amazon.titan-embed-text-v2:0",
            "amazon.titan-embed-image-v1",
            "cohere.embed-english-v3",
            "cohere.embed-multilingual-v3",
        ),
        "Models that a request may name.",
    )
    openai_url: str = text("", "Base URL of OpenAI's API, up to and with /v1; needed for provider openai.")
    openai_key: ts.types.SecretStr = secret("Key of OpenAI's API.")
    dimensions: int = one_of(LENGTHS, 1024, "Length of the vectors: 256, 384, 512, 1024 or 1536.")


@frozen
class Reuse:
    """Whether a call that was made before is made again."""

    enabled: bool = switch(
        True, "Whether a user's same question about the same content is answered by the earlier result."
    )
    seconds: float = number(604_800.0, "Seconds since the earlier answer at most.")


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


ATTEMPTS = "Attempts a job has."
BACKOFF = "Seconds before the second attempt; doubles with each further one."
TIMEOUT = "Seconds one attempt may take."
CONCURRENCY = "Jobs at once in one process."
KEEP_COUNT = "Completed jobs that stay in Redis at most."
DAY = 86400
# Waits double: after more attempts they would be longer than calendars are.
MOST_ATTEMPTS = 20


@frozen
class Queue:
    """One job type: how often, how long, and how long Redis remembers."""

    attempts: int = whole(3, ATTEMPTS, most=MOST_ATTEMPTS)
    backoff: float = number(2.0, BACKOFF, most=DAY)
    backoff_ceiling: float = number(3600.0, "Seconds between two attempts at most, jitter aside.", most=DAY)
    jitter: float = number(0.0, "Share by which a wait is lengthened at random, 0 to 1.", most=1)
    timeout: int = whole(300, TIMEOUT)
    keep_completed: int = whole(3600, "Seconds a completed job stays in Redis.")
    keep_completed_count: int = whole(100, KEEP_COUNT)
    keep_failed: int = whole(86400, "Seconds a failed job stays in Redis.")
    concurrency: int = whole(3, CONCURRENCY)


# A table's own defaults have to be those of its class: typed-settings reads them there.
@frozen
class VideoQueue(Queue):
    """The defaults of video-processing."""

    backoff: float = number(5.0, BACKOFF, most=DAY)
    timeout: int = whole(14400, TIMEOUT)
    keep_completed_count: int = whole(50, KEEP_COUNT)
    concurrency: int = whole(2, CONCURRENCY)


@frozen
class TextQueue(Queue):
    """The defaults of text-analysis."""

    backoff: float = number(1.0, BACKOFF, most=DAY)
    keep_completed_count: int = whole(200, KEEP_COUNT)
    concurrency: int = whole(5, CONCURRENCY)


@frozen
class EmbeddingQueue(Queue):
    """The defaults of embedding-generation."""

    attempts: int = whole(5, ATTEMPTS, most=MOST_ATTEMPTS)
    backoff: float = number(3.0, BACKOFF, most=DAY)
    keep_completed_count: int = whole(500, KEEP_COUNT)
    concurrency: int = whole(10, CONCURRENCY)


@frozen
class Queues:
    """The queues, one a job type."""

    image_processing: Queue = Queue()
    video_processing: VideoQueue = VideoQueue()
    text_analysis: TextQueue = TextQueue()
    embedding_generation: EmbeddingQueue = EmbeddingQueue()

    @classmethod
    def names(cls) -> list[str]:
        """Returns the names of all queues, as they stand in Redis."""
        return [attribute.name.replace("_", "-") for attribute in attrs.fields(cls)]

    def named(self, queue: str) -> Queue:
        """Returns the settings of the queue of that name, as it stands in Redis (`image-processing`)."""
        found: Queue = getattr(self, queue.replace("-", "_"))
        return found


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
    source = path or _find_file()
    # The exclamation mark makes a missing file an error.
    files = ts.FileLoader({"*": ts.TomlFormat(section=None)}, files=[f"!{source}"] if source else [])
    environment = ts.EnvLoader(PREFIX, nested_delimiter="__")
    try:
        with PARSING:
            settings = ts.load_settings(Settings, [files, _SharedNames(), environment])
    except ts.exceptions.InvalidSettingsError as errors:
        raise SettingsError("; ".join(_explain(error) for error in errors.exceptions)) from None
    except (ts.exceptions.TsError, OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{source}: {error}") from None
    _refuse_unknown_variables()
    return settings


def _find_file() -> Path | None:
    named = os.environ.get("MEDIAQ_CONFIG")
    if named and not Path(named).is_file():
        raise SettingsError(f"MEDIAQ_CONFIG names {named}, and there is no such file")
    found = Path(named or "config.toml")
    return found if found.is_file() else None


@frozen
class _SharedNames:
    """Loads the environment variables of SHARED_NAMES; called by typed-settings."""

    def __call__(
        self,
        settings_cls: type,  # noqa: ARG002 - typed-settings passes it by this name
        options: tuple[ts.types.OptionInfo, ...],
    ) -> ts.types.LoadedSettings:
        wanted = {option.path for option in options}
        values: dict[str, Any] = {}
        for name, option in SHARED_NAMES.items():
            if option in wanted and os.environ.get(name):
                ts.dict_utils.set_path(values, option, os.environ[name])
        return ts.types.LoadedSettings(values, ts.types.LoaderMeta(_SharedNames.__name__))


def _refuse_unknown_variables() -> None:
    known = {_variable(key) for key, _, _ in shown(Settings())} | NOT_SETTINGS | SHARED_NAMES.keys()
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            raise SettingsError(f"environment variable {name}: there is no such setting")


def _explain(error: BaseException) -> str:
    # typed-settings names the option, and the file that it is from; a variable it does not name.
    return re.sub(r"option '([\w.]+)' from loader (EnvLoader|_SharedNames)", _name_variable, str(error))


def _name_variable(found: re.Match[str]) -> str:
    option, loader = found.groups()
    shared = [name for name, shares in SHARED_NAMES.items() if shares == option and os.environ.get(name)]
    variable = _variable(option) if loader == "EnvLoader" else shared[-1]
    return f"option '{option}' from environment variable {variable}"


def _variable(key: str) -> str:
    return PREFIX + key.upper().replace(".", "__").replace("-", "_")


def shown(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yields each setting as (dotted key, value with secrets masked, what it is for)."""
    return _entries(settings, "")


def _entries(table: Any, above: str) -> Iterator[tuple[str, str, str]]:
    for attribute in attrs.fields(type(table)):
        value = getattr(table, attribute.name)
        if attrs.has(type(value)):
            name = attribute.name.replace("_", "-")
            yield from _entries(value, f"{above}{name}.")
        else:
            yield f"{above}{attribute.name}", mask(value), attribute.metadata["help"]
