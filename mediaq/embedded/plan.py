"""What a stack consists of, as data: its processes, its addresses, and the variables that join them."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import jwt
from attrs import frozen

from mediaq.embedded import ports, postgres, s3, valkey
from mediaq.embedded.kept import Ports, Secrets
from mediaq.embedded.processes import Process

_BUCKET = "media"
_DATABASE = "mediaq"
_REGION = "us-east-1"
_ACCOUNT = "000000000000"
# The queue of notices of ended jobs, and the topic that feeds it.
_ENDED = "AmazonRekognitionEnded"
_CLAIMS: Mapping[str, Mapping[str, object]] = {
    "user": {"sub": "user-1"},
    "other": {"sub": "user-2"},
    "admin": {"sub": "admin-1", "admin": True},
}
_TOKEN_LIFE = timedelta(days=30)


@frozen
class StackInfo:
    """How to reach a running stack; `stack.json` in its data folder.

    Args:
        api_url: The REST API.
        redis_url: Valkey, with its password.
        database_url: Postgres, with its password.
        aws_endpoint_url: The AWS stand-in; S3 has an endpoint of its own, see `env`.
        s3_bucket: The bucket for media.
        tokens: Bearer tokens, valid for 30 days: of a `user`, an `other` user and an `admin`.
        env: The environment variables with which a program joins the stack.
    """

    api_url: str
    redis_url: str
    database_url: str
    aws_endpoint_url: str
    s3_bucket: str
    tokens: Mapping[str, str]
    env: Mapping[str, str]


@frozen
class Site:
    """A data folder with what it keeps."""

    data: Path
    secrets: Secrets
    ports: Ports


def describe(site: Site) -> StackInfo:
    """Return how to reach the stack of a site once it runs."""
    api_url = f"http://127.0.0.1:{site.ports.api}"
    redis_url = valkey.url(port=site.ports.valkey, password=site.secrets.redis_password)
    database_url = postgres.url(
        port=site.ports.postgres, password=site.secrets.postgres_password, database=_DATABASE
    )
    standin_url = f"http://127.0.0.1:{site.ports.standin}"
    env = {
        **dict.fromkeys(["REDIS_URL", "RQ_REDIS_URL", "RQ_DASHBOARD_REDIS_URL"], redis_url),
        "DATABASE_URL": database_url,
        **dict.fromkeys(["AWS_REGION", "AWS_DEFAULT_REGION"], _REGION),
        **dict.fromkeys(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], "mediaq"),
        "AWS_ENDPOINT_URL": standin_url,
        "AWS_ENDPOINT_URL_S3": s3.url(port=site.ports.s3),
        "MEDIAQ_API_URL": api_url,
        "MEDIAQ_AUTH__COOKIE_SECURE": "false",
        "MEDIAQ_AUTH__SECRET": site.secrets.token_secret,
        "MEDIAQ_AWS__BUCKET": _BUCKET,
        "MEDIAQ_COMPLETION__QUEUE_URL": f"{standin_url}/{_ACCOUNT}/{_ENDED}",
        "MEDIAQ_COMPLETION__TOPIC_ARN": f"arn:aws:sns:{_REGION}:{_ACCOUNT}:{_ENDED}",
        "MEDIAQ_COMPLETION__ROLE_ARN": f"arn:aws:iam::{_ACCOUNT}:role/rekognition",
        "MEDIAQ_SERVICE__HOST": "127.0.0.1",
        "MEDIAQ_SERVICE__PORT": str(site.ports.api),
    }
    tokens = _sign_tokens(site.secrets.token_secret)
    return StackInfo(api_url, redis_url, database_url, standin_url, _BUCKET, tokens, env)


def processes(site: Site, info: StackInfo, *, worker: bool = True) -> list[list[Process]]:
    """Return what a stack consists of, in the order of its start.

    Args:
        site: The data folder, secrets and ports.
        info: How the parts reach each other.
        worker: Whether a worker for all queues belongs to it.

    Returns:
        Layers: the processes of one start side by side, once all of the layer before are ready.
    """
    python = partial(_python, env=info.env)
    standin_options = [
        *("--s3-url", s3.url(port=site.ports.s3), "--data", str(site.data / "standin")),
        *("--queue", _ENDED),
    ]
    standin_calls = f"{info.aws_endpoint_url}/_standin/calls"
    return [
        _servers(site),
        [
            python(
                "standin",
                "mediaq.embedded.standin",
                *("--port", str(site.ports.standin), *standin_options),
                ready=partial(ports.answering, standin_calls),
            ),
            python("migrate", "mediaq.cli", "migrate", once=True),
        ],
        [
            python("serve", "mediaq.cli", "serve", ready=partial(ports.answering, f"{info.api_url}/readyz")),
            *([python("worker", "mediaq.cli", "worker")] if worker else []),
        ],
    ]


def _servers(site: Site) -> list[Process]:
    return [
        valkey.process(site.data / "valkey", port=site.ports.valkey, password=site.secrets.redis_password),
        postgres.process(
            site.data / "postgres",
            port=site.ports.postgres,
            password=site.secrets.postgres_password,
            database=_DATABASE,
        ),
        s3.process(site.data / "s3", port=site.ports.s3, bucket=_BUCKET),
    ]


def _python(
    name: str,
    module: str,
    *arguments: str,
    env: Mapping[str, str],
    ready: Callable[[], Awaitable[bool]] | None = None,
    once: bool = False,
) -> Process:
    return Process(name, [sys.executable, "-m", module, *arguments], env=env, ready=ready, once=once)


def _sign_tokens(secret: str) -> dict[str, str]:
    expires = {"exp": datetime.now(UTC) + _TOKEN_LIFE}
    return {name: jwt.encode({**claims, **expires}, secret, "HS256") for name, claims in _CLAIMS.items()}
