"""Embeddings of texts, images and videos: from the cache, by Titan on Bedrock, or by OpenAI for texts."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from attrs import frozen

from mediaq.aws.limits import OPENAI_EMBEDDINGS, limit_of
from mediaq.aws.models import invoke_model
from mediaq.errors import Refused
from mediaq.model import Certainty, Settled, Vector
from mediaq.pipelines import cache, openai, pictures
from mediaq.pipelines.film import find_film, take_frame
from mediaq.pipelines.metered import paid, patiently, recorded
from mediaq.pipelines.operation import Operation, Pipeline, Request, Results, Work
from mediaq.pipelines.price_list import prices_now
from mediaq.pipelines.requests import ObjectKey, Text, checked_type
from mediaq.store import operations

# Pixels of the longer side of the frame that stands for a video.
FRAME_SIDE = 1024


@frozen
class Made:
    """A vector as it was made.

    Args:
        values: The vector.
        billed: What was billed, as the price line counts it.
        request_id: The provider's own id of its answer.
    """

    values: list[float]
    billed: int
    request_id: str | None


@frozen
class Model:
    """One model that makes vectors.

    Args:
        name: The model's id.
        service: Who runs it.
        limit: What calls count for.
        item: The line of the price list.
        dimensions: Length of its vectors.
        most: What is billed for this content at most, as the price line counts it.
        embed: Makes the vector.
    """

    name: str
    service: str
    limit: str
    item: str
    dimensions: int
    most: Callable[[bytes], int]
    embed: Callable[[Work, bytes], Awaitable[Made]]


async def generate_embedding(work: Work) -> Any:
    """Embeds the content: from the cache where the same content was embedded before.

    Raises:
        Refused: The content cannot be read or is too much for the model.
    """
    content = await _content(work)
    model = _model(work)
    key = cache.cache_key(model.name, model.dimensions, content)
    known = await cache.recall(work.tools.redis, key)
    if known is not None:
        return await _reuse(work, model, known)
    vector: dict[str, Any] = await patiently(work, lambda: _embed(work, model, content))
    await cache.keep(work.tools.redis, key, vector["embedding"], work.tools.settings.embedding.cache_seconds)
    return vector


async def _embed(work: Work, model: Model, content: bytes) -> Any:
    async def make(run: operations.Run) -> Settled:  # noqa: ARG001 - the shape of Make
        made = await model.embed(work, content)
        return Settled(
            {"source": "generated", "embedding": made.values},
            prices_now().charge(model.item, made.billed),
            _vector(work, model, made.values),
            made.request_id,
        )

    estimate = prices_now().charge(model.item, model.most(content))
    return await paid(work, model.service, model.limit, estimate, make)


async def _reuse(work: Work, model: Model, values: list[float]) -> Any:
    async def make(run: operations.Run) -> Settled:  # noqa: ARG001 - the shape of Make
        result = {"source": "cache", "embedding": values}
        return Settled(result, prices_now().nothing(model.item), _vector(work, model, values))

    return await recorded(work, model.service, None, make, certainty=Certainty.REUSED)


def _vector(work: Work, model: Model, values: list[float]) -> Vector:
    return Vector(model.name, values, work.job.request.get("metadata") or {})


async def _content(work: Work) -> bytes:
    request = work.job.request
    match request["contentType"]:
        case "text":
            return str(request["content"]).encode()
        case "image":
            return await patiently(work, lambda: _read_image(work))
        case _:
            film = await find_film(work)
            return await patiently(work, lambda: take_frame(work, film, FRAME_SIDE))


async def _read_image(work: Work) -> bytes:
    tools, key = work.tools, work.job.request["s3Key"]
    return await pictures.for_embedding(tools.aws, tools.converter, work.bucket, key)


def _model(work: Work) -> Model:
    settings = work.tools.settings.embedding
    if work.job.request["contentType"] != "text":
        return Model(
            settings.image_model,
            "bedrock",
            _limit(settings.image_model),
            f"bedrock.{_short(settings.image_model)}.images",
            settings.dimensions,
            lambda content: 1,  # noqa: ARG005 - an image is billed as one, whatever its size
            _embed_image,
        )
    if settings.provider == "openai":
        item = f"openai.{settings.openai_model}.tokens"
        return Model(
            settings.openai_model,
            "openai",
            OPENAI_EMBEDDINGS,
            item,
            settings.dimensions,
            len,
            _embed_by_openai,
        )
    item = f"bedrock.{_short(settings.text_model)}.tokens"
    # A token has at least one byte of UTF-8: there are never more tokens than bytes.
    limit = _limit(settings.text_model)
    return Model(settings.text_model, "bedrock", limit, item, settings.dimensions, len, _embed_text)


def _limit(model: str) -> str:
    return limit_of("bedrock-runtime", "invoke_model", model)


def _short(model: str) -> str:
    # amazon.titan-embed-text-v2:0 is titan-embed-text-v2 in the price list.
    return model.removeprefix("amazon.").partition(":")[0]


async def _embed_text(work: Work, content: bytes) -> Made:
    settings = work.tools.settings.embedding
    body = {"inputText": content.decode(), "dimensions": settings.dimensions, "normalize": True}
    answer, request_id = await invoke_model(work.tools.aws, settings.text_model, body)
    return Made(answer["embedding"], answer["inputTextTokenCount"], request_id)


async def _embed_image(work: Work, content: bytes) -> Made:
    settings = work.tools.settings.embedding
    body = {
        "inputImage": base64.b64encode(content).decode(),
        "embeddingConfig": {"outputEmbeddingLength": settings.dimensions},
    }
    answer, request_id = await invoke_model(work.tools.aws, settings.image_model, body)
    if answer.get("message"):
        raise Refused(f"Bedrock refused: {answer['message']}", "ModelRefused")
    return Made(answer["embedding"], 1, request_id)


async def _embed_by_openai(work: Work, content: bytes) -> Made:
    settings = work.tools.settings
    text, timeout = content.decode(), settings.aws.call_timeout
    return Made(*await openai.embed(work.tools.http, settings.embedding, text, timeout))


def _check(request: Any) -> None:
    if request.contentType == "text" and request.content is None:
        raise ValueError("Object missing required field `content`")
    if request.contentType != "text" and request.s3Key is None:
        raise ValueError("Object missing required field `s3Key`")


def _asked(request: Request) -> tuple[str, ...]:  # noqa: ARG001 - the shape of Pipeline.asked
    return ("generateEmbedding",)


def _outcome(results: Results) -> dict[str, Any]:
    return dict(results.get("embedding") or {})


def _metadata(outcome: Results) -> dict[str, Any]:
    return {"embedding": outcome["embedding"], "embeddingSource": outcome["source"]}


EMBEDDING = Pipeline(
    queue="embedding-generation",
    task="mediaq.tasks.generate_embedding",
    description="generate-embedding",
    request=checked_type(
        "EmbeddingRequest",
        _check,
        ("contentType", Literal["text", "image", "video"]),
        ("content", Text | None, None),
        ("s3Key", ObjectKey | None, None),
        ("metadata", dict[str, Any] | None, None),
    ),
    operations=(Operation("generateEmbedding", "embedding", generate_embedding),),
    asked=_asked,
    outcome=_outcome,
    metadata=_metadata,
)
