"""The settings of how media are analysed: by whom, within which limits, and what is made of them."""

from __future__ import annotations

from typing import Any, Literal

import typed_settings as ts
from attrs import frozen

from mediaq.fields import by_operation, choice, number, one_of, secret, switch, text, texts, whole

# Lengths of vectors that the models make; each has an index of its own in store/migrations.
LENGTHS = (256, 384, 512, 1024, 1536)


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
