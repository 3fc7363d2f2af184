"""AWS's limits, kept by all workers together so that none of them meets them."""

from __future__ import annotations

from attrs import frozen
from redis.asyncio import Redis

from mediaq.aws.places import Places
from mediaq.aws.rates import Rates
from mediaq.fields import parse_rates
from mediaq.settings import Settings
from mediaq.shared_limits import SharedLimits

# The kinds of places.
VIDEO_JOBS = "rekognition.video"
TRANSCRIPTION_JOBS = "transcribe"
# What is limited as by `limit_of`, of the provider that is not AWS.
OPENAI_EMBEDDINGS = "openai.CreateEmbedding"


@frozen
class Limits:
    """What an account may do.

    Args:
        rates: Calls per second, by operation.
        places: Asynchronous jobs at once, by kind.
    """

    rates: Rates
    places: Places


def limit_of(service: str, method: str, model: str = "") -> str:
    """Returns the name of what AWS limits: `rekognition.DetectLabels`, `bedrock.InvokeModel:MODEL`.

    Args:
        service: boto's name of the service, `bedrock-runtime` say.
        method: The client's method, `detect_labels` say.
        model: The model that is asked; Bedrock limits each by itself.
    """
    operation = "".join(word.capitalize() for word in method.split("_"))
    return f"{service.removesuffix('-runtime')}.{operation}" + (f":{model}" if model else "")


def make_limits(redis: Redis, settings: Settings) -> Limits:
    """Returns the limits as the settings have them.

    Args:
        redis: A client of the server that all workers share.
        settings: Region and limits.
    """
    shared, region, limits = SharedLimits(redis), settings.aws.region, settings.limits
    most = {VIDEO_JOBS: limits.video_jobs, TRANSCRIPTION_JOBS: limits.transcription_jobs}
    return Limits(
        Rates(shared, region, parse_rates(limits.rates), limits.share), Places(shared, region, most)
    )
