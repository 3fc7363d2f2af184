"""Bedrock's InvokeModel: the two Titan embedding models, and those of `cohere`."""

from __future__ import annotations

import asyncio
import base64
import binascii
from decimal import Decimal
from typing import Any

from mediaq.embedded.standin import cohere, embeddings, images
from mediaq.embedded.standin.bodies import NAME, TOKENS_HEADER, check_keys, malformed, token_charge
from mediaq.embedded.standin.book import Charge
from mediaq.embedded.standin.errors import AwsError, invalid_input
from mediaq.embedded.standin.invocations import Answer, Invocation, Operation
from mediaq.embedded.standin.resources import text_digest

# Amazon Bedrock User Guide, "Amazon Titan Text Embeddings" and "Titan Multimodal Embeddings G1".
TEXT_CHARACTERS = 50_000
TEXT_TOKENS = 8_192
TEXT_DIMENSIONS = (1024, 512, 256)
CAPTION_TOKENS = 256
IMAGE_DIMENSIONS = (1024, 384, 256)
BODY_BYTES = 25_000_000


async def embed_text(invocation: Invocation) -> Answer:
    """Answer Titan Text Embeddings V2."""
    body = invocation.body
    check_keys(body, {"inputText": str, "dimensions": int, "normalize": bool})
    if "inputText" not in body:
        raise malformed("#: required key [inputText] not found")
    text, dimensions = body["inputText"], body.get("dimensions", TEXT_DIMENSIONS[0])
    if not text:
        raise malformed("expected minLength: 1, actual: 0")
    if len(text) > TEXT_CHARACTERS:
        raise malformed(f"expected maxLength: {TEXT_CHARACTERS}, actual: {len(text)}")
    if dimensions not in TEXT_DIMENSIONS:
        raise malformed(f"#/dimensions: {dimensions} is not a valid enum value")
    tokens = _tokens(text, TEXT_TOKENS)
    vector = await asyncio.to_thread(embeddings.embed_text, text, dimensions)
    if body.get("normalize", True):
        vector = embeddings.unit(vector)
    return Answer(
        {"embedding": vector, "inputTextTokenCount": tokens},
        (token_charge("bedrock.titan-embed-text-v2.tokens", tokens),),
        {TOKENS_HEADER: str(tokens)},
    )


async def embed_image(invocation: Invocation) -> Answer:
    """Answer Titan Multimodal Embeddings G1: an image, a text, or the mean of both."""
    body = invocation.body
    check_keys(body, {"inputText": str, "inputImage": str, "embeddingConfig": dict})
    dimensions = _length(body)
    text, image = body.get("inputText"), body.get("inputImage")
    if not text and not image:
        raise invalid_input("Please provide at least one of inputText or inputImage.")
    tokens = _tokens(text, CAPTION_TOKENS) if text else 0
    vectors, charges = [], []
    if text:
        vectors.append(embeddings.embed_text(text, dimensions))
        charges.append(token_charge("bedrock.titan-embed-image-v1.tokens", tokens))
    if image:
        most = invocation.standin.account.limits.titan_image_pixels
        vectors.append(await asyncio.to_thread(_image_vector, image, dimensions, most))
        charges.append(Charge("bedrock.titan-embed-image-v1.images", Decimal(1), "image"))
    return Answer(
        {"embedding": embeddings.mean(vectors), "inputTextTokenCount": tokens},
        tuple(charges),
        {TOKENS_HEADER: str(tokens)},
    )


def operation(model: str) -> Operation:
    """Return InvokeModel for a model, named by its id or its ARN.

    Raises:
        AwsError: There is no such model.
    """
    found = MODELS.get(model.rpartition("/")[2])
    if found is None:
        raise invalid_input("The provided model identifier is invalid.")
    return found


def body_resource(body: dict[str, Any]) -> str:
    """Return the digest of the text and image sent."""
    return text_digest("\0".join(str(body[name]) for name in ("inputText", "inputImage") if name in body))


def too_large() -> AwsError:
    """Return Bedrock's answer to a body of more than 25,000,000 bytes."""
    return invalid_input(f"Body must have length less than or equal to {BODY_BYTES}")


def _length(body: dict[str, Any]) -> int:
    length = body.get("embeddingConfig", {}).get("outputEmbeddingLength", IMAGE_DIMENSIONS[0])
    if length not in IMAGE_DIMENSIONS:
        raise malformed(f"#/embeddingConfig/outputEmbeddingLength: {length} is not a valid enum value")
    return int(length)


def _tokens(text: str, limit: int) -> int:
    tokens = embeddings.count_tokens(text)
    if tokens > limit:
        raise invalid_input(
            "400 Bad Request: Too many input tokens. "
            f"Max input tokens: {limit}, request input token count: {tokens} "
        )
    return tokens


def _image_vector(text: str, dimensions: int, most_pixels: int) -> list[float]:
    try:
        image = images.open_image(base64.b64decode(text, validate=True))
        if image.width * image.height > most_pixels:
            raise invalid_input("400 Bad Request: Image exceeds max pixels allowed. ")
        return embeddings.embed_picture(images.measure(image), dimensions)
    except (images.BadImage, binascii.Error) as error:
        raise invalid_input(
            "400 Bad Request: The inputImage is no valid base64-encoded JPEG or PNG. "
        ) from error


MODELS = cohere.MODELS | {
    "amazon.titan-embed-text-v2:0": Operation(
        service="bedrock",
        name=NAME,
        item="bedrock.titan-embed-text-v2.tokens",
        answer=embed_text,
        resource=body_resource,
    ),
    "amazon.titan-embed-image-v1": Operation(
        service="bedrock",
        name=NAME,
        item="bedrock.titan-embed-image-v1.images",
        answer=embed_image,
        resource=body_resource,
    ),
}
