"""The models that make vectors: what each takes, and how it is asked. A new model is one value."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from mediaq.aws.limits import OPENAI_EMBEDDINGS, limit_of
from mediaq.aws.models import Invoked, invoke_model
from mediaq.errors import Refused
from mediaq.pipelines import openai
from mediaq.pipelines.operation import Work

TITAN_TEXT, TITAN_MULTIMODAL = "amazon.titan-embed-text-v2:0", "amazon.titan-embed-image-v1"


@frozen
class Made:
    """Vectors as they were made.

    Args:
        vectors: One for each content, in their order.
        billed: What was billed, as the price line counts it; None where the provider did not say.
        request_id: The provider's own id of its answer.
    """

    vectors: list[list[float]]
    billed: int | None
    request_id: str | None


Embed = Callable[[Work, str, int, Sequence[bytes]], Awaitable[Made]]


@frozen(kw_only=True)
class Model:
    """One model.

    Args:
        name: Its id.
        service: Who runs it.
        limit: What calls count for, as of `take_turn`.
        lengths: The lengths that its vectors may have; the first is its own default.
        tokens: The line of the price list for texts.
        most: Bytes of UTF-8 of one text. A token has at least one, so that no text has too many tokens, and
            none is cut short unseen.
        batch: Texts of one call at most.
        embed: Makes vectors of texts.
        images: The line of the price list for pictures; None: it takes none.
        embed_images: Makes vectors of pictures, one a call.
    """

    name: str
    service: str
    limit: str
    lengths: tuple[int, ...]
    tokens: str
    most: int
    batch: int = 1
    embed: Embed
    images: str | None = None
    embed_images: Embed | None = None


async def _titan_text(work: Work, model: str, dimensions: int, texts: Sequence[bytes]) -> Made:
    body = {"inputText": texts[0].decode(), "dimensions": dimensions, "normalize": True}
    made = await invoke_model(work.tools.aws, model, body)
    return _one(made, made.body["inputTextTokenCount"])


async def _titan_multimodal_text(work: Work, model: str, dimensions: int, texts: Sequence[bytes]) -> Made:
    body = {"inputText": texts[0].decode(), "embeddingConfig": {"outputEmbeddingLength": dimensions}}
    made = await invoke_model(work.tools.aws, model, body)
    return _one(made, made.body["inputTextTokenCount"])


async def _titan_image(work: Work, model: str, dimensions: int, pictures: Sequence[bytes]) -> Made:
    body = {
        "inputImage": base64.b64encode(pictures[0]).decode(),
        "embeddingConfig": {"outputEmbeddingLength": dimensions},
    }
    return _one(await invoke_model(work.tools.aws, model, body), 1)


def _one(made: Invoked, billed: int) -> Made:
    # AWS: Titan Multimodal says in `message` what kept it from an answer.
    if made.body.get("message"):
        raise Refused(f"Bedrock refused: {made.body['message']}", "ModelRefused")
    return Made([made.body["embedding"]], billed, made.request_id)


async def _cohere(work: Work, model: str, dimensions: int, texts: Sequence[bytes]) -> Made:  # noqa: ARG001 - v3 has one length
    body = {
        "texts": [text.decode() for text in texts],
        # AWS: of what is put on record to be searched; a query would be `search_query`.
        "input_type": "search_document",
        "truncate": "NONE",
    }
    made = await invoke_model(work.tools.aws, model, body)
    return Made(made.body["embeddings"], made.tokens, made.request_id)


async def _openai(work: Work, model: str, dimensions: int, texts: Sequence[bytes]) -> Made:
    settings = work.tools.settings
    with work.tools.telemetry.call(OPENAI_EMBEDDINGS):
        vector, billed, request_id = await openai.embed(
            work.tools.http,
            settings.embedding,
            model,
            dimensions,
            texts[0].decode(),
            settings.aws.call_timeout,
        )
    return Made([vector], billed, request_id)


def _limit(model: str) -> str:
    return limit_of("bedrock-runtime", "invoke_model", model)


def _cohere_v3(language: str) -> Model:
    # AWS: 96 texts a call, of 2,048 characters and 512 tokens each; a few tokens are the model's own.
    name = f"cohere.embed-{language}-v3"
    item = f"bedrock.cohere-embed-{language}-v3.tokens"
    return Model(
        name=name,
        service="bedrock",
        limit=_limit(name),
        lengths=(1024,),
        tokens=item,
        most=500,
        batch=96,
        embed=_cohere,
    )


def _openai_v3(size: str, *lengths: int) -> Model:
    # OpenAI: 8,192 tokens a text; the lengths are those that the store has an index for.
    name = f"text-embedding-3-{size}"
    item = f"openai.{name}.tokens"
    return Model(
        name=name,
        service="openai",
        limit=OPENAI_EMBEDDINGS,
        lengths=lengths,
        tokens=item,
        most=8_192,
        embed=_openai,
    )


MODELS = {
    model.name: model
    for model in (
        # AWS: 8,192 tokens or 50,000 characters.
        Model(
            name=TITAN_TEXT,
            service="bedrock",
            limit=_limit(TITAN_TEXT),
            lengths=(1024, 512, 256),
            tokens="bedrock.titan-embed-text-v2.tokens",
            most=8_192,
            embed=_titan_text,
        ),
        # AWS: 256 tokens of text, and one image.
        Model(
            name=TITAN_MULTIMODAL,
            service="bedrock",
            limit=_limit(TITAN_MULTIMODAL),
            lengths=(1024, 384, 256),
            tokens="bedrock.titan-embed-image-v1.tokens",
            most=256,
            embed=_titan_multimodal_text,
            images="bedrock.titan-embed-image-v1.images",
            embed_images=_titan_image,
        ),
        _cohere_v3("english"),
        _cohere_v3("multilingual"),
        _openai_v3("small", 1536, 1024, 512, 384, 256),
        _openai_v3("large", 1024, 1536, 512, 384, 256),
    )
}


def find_model(name: str) -> Model:
    """Returns the model of that name.

    Raises:
        Refused: There is none.
    """
    if (model := MODELS.get(name)) is None:
        raise Refused(f"there is no model {name}; there are {', '.join(MODELS)}", "NoModel")
    return model


def check_length(model: Model, dimensions: int) -> None:
    """Checks that a model makes vectors of that length.

    Raises:
        Refused: It does not.
    """
    if dimensions not in model.lengths:
        lengths = ", ".join(map(str, model.lengths))
        raise Refused(f"{model.name} makes vectors of length {lengths}, not {dimensions}", "NoLength")
