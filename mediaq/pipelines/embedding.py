"""Embeddings of texts, images and videos, by one model or by several side by side."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from attrs import frozen
from msgspec import Meta

from mediaq.errors import NotAdmitted, Refused
from mediaq.model import Charge, Chunk, Settled, TaskStatus, Vector
from mediaq.pipelines.budget import keep_to_budget
from mediaq.pipelines.contents import (
    Contents,
    Piece,
    VideoContent,
    find_contents,
    has_pictures,
    has_text,
    passages,
)
from mediaq.pipelines.embedders import MODELS, TITAN_TEXT, Model, check_length, find_model
from mediaq.pipelines.operation import Operation, Pipeline, Request, Results, Work
from mediaq.pipelines.parts import Part, paid_in_parts, part_key
from mediaq.pipelines.price_list import prices_now
from mediaq.pipelines.requests import Name, ObjectKey, Text, checked_type
from mediaq.settings import Embedding, Settings

# Calls that one content may take; what takes more is for a model that takes longer texts.
MOST_CALLS = 1_000
MOST_MODELS, MOST_FRAMES = 5, 20
# Objects and lists within each other that metadata may have. What writes and reads them calls itself for
# each: what a body may have is more than can be written, or shown again, within Python's limit of calls.
DEEPEST = 100


@frozen
class Wanted:
    """A model and the length of its vectors."""

    model: Model
    dimensions: int


@frozen
class Batch:
    """The pieces of one call: texts, or one picture."""

    wanted: Wanted
    pieces: Sequence[Piece]
    pictures: bool = False


async def generate_embedding(work: Work) -> Any:
    """Embeds the content by each model that is wanted; long texts and films in pieces.

    Raises:
        Refused: The content cannot be read, or a model does not take it.
    """
    wanted = _wanted(work.job.request, work.tools.settings.embedding)
    contents = await find_contents(work)
    batches = [batch for one in wanted for batch in _batches(one, contents)]
    if len(batches) > MOST_CALLS:
        raise Refused(f"it takes {len(batches)} calls, and at most {MOST_CALLS} are made", "TooLong")
    parts = [_part(work, number, batch) for number, batch in enumerate(batches)]
    if contents.text is not None and "content" not in work.job.request:
        # How long the transcript is, no request told.
        await keep_to_budget(work, sum((part.estimate.amount for part in parts), Decimal(0)))
    join = partial(_join, work, batches)
    alone = len(batches) == 1 and len(batches[0].pieces) == 1
    result = await paid_in_parts(
        work,
        wanted[0].model.service,
        wanted[0].model.limit,
        parts,
        join,
        noun="call",
        # A result has the vector of the whole alone: where there are others, it is too little to copy.
        copy=(lambda earlier: join([_reused(earlier).result])) if alone else None,
    )
    if result["source"] == "cache":
        work.report(TaskStatus.COMPLETED, "reused")
    return result


def _wanted(request: Request, settings: Embedding) -> list[Wanted]:
    asked = request.get("models")
    if asked is None:
        return [_checked(find_model(name), settings.dimensions) for name in _defaults(request, settings)]
    for one in asked:
        if one["model"] not in settings.models:
            raise Refused(_not_allowed(one["model"]), "NotAllowed")
    return [_named(find_model(one["model"]), one.get("dimensions"), settings.dimensions) for one in asked]


def _defaults(request: Request, settings: Embedding) -> list[str]:
    for_text = settings.openai_model if settings.provider == "openai" else settings.text_model
    return [settings.image_model] * has_pictures(request) + [for_text] * has_text(request)


def _named(model: Model, dimensions: int | None, usual: int) -> Wanted:
    own = usual if usual in model.lengths else model.lengths[0]
    return _checked(model, dimensions or own)


def _checked(model: Model, dimensions: int) -> Wanted:
    check_length(model, dimensions)
    return Wanted(model, dimensions)


def _batches(wanted: Wanted, contents: Contents) -> list[Batch]:
    if contents.pictures and wanted.model.images:
        return [Batch(wanted, [picture], pictures=True) for picture in contents.pictures]
    if contents.text is None:
        raise Refused(f"{wanted.model.name} takes texts, no pictures", "NoPictures")
    pieces, size = passages(contents.text, wanted.model.most), wanted.model.batch
    return [Batch(wanted, pieces[begin : begin + size]) for begin in range(0, len(pieces), size)]


def _part(work: Work, number: int, batch: Batch) -> Part:
    model, dimensions = batch.wanted.model, batch.wanted.dimensions
    contents = [piece.content for piece in batch.pieces]
    pictures = batch.pictures
    item = _item(model, pictures=pictures)
    embed = (pictures and model.embed_images) or model.embed
    most = prices_now().charge(item, len(contents) if pictures else sum(map(len, contents)))

    async def make() -> Settled:
        made = await embed(work, model.name, dimensions, contents)
        charge = most if made.billed is None else prices_now().charge(item, made.billed)
        result = {"source": "generated", "vectors": made.vectors}
        return Settled(result, charge, request_id=made.request_id)

    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    key = part_key(number, msgspec.json.encode([model.name, dimensions, pictures, digests]))
    return Part(key, most, make, _reused, model.service, model.limit)


def _item(model: Model, *, pictures: bool) -> str:
    return (pictures and model.images) or model.tokens


def _estimate(request: Request, settings: Settings) -> list[Charge]:
    asked = request.get("models")
    names = [one["model"] for one in asked] if asked else _defaults(request, settings.embedding)
    # Of a model that there is not, none is called.
    models = [MODELS[name] for name in names if name in MODELS]
    return [_most(model, request, settings) for model in models]


def _most(model: Model, request: Request, settings: Settings) -> Charge:
    if has_pictures(request) and model.images:
        return prices_now().charge(model.images, request.get("videoFrames") or 1)
    # A token has a byte at least; a transcript is on record, and its length is for the worker to find.
    content = request.get("content")
    return prices_now().charge(
        model.tokens, settings.text.most_bytes if content is None else len(content.encode())
    )


def _reused(earlier: Any) -> Settled:
    vectors = earlier["vectors"] if "vectors" in earlier else [earlier["embedding"]]
    return Settled({"source": "cache", "vectors": vectors})


def _join(work: Work, batches: Sequence[Batch], answers: Sequence[Any]) -> Settled:
    embeddings, vectors = [], []
    for wanted in dict.fromkeys(batch.wanted for batch in batches):
        own = [pair for pair in zip(batches, answers, strict=True) if pair[0].wanted == wanted]
        pieces = [piece for batch, _ in own for piece in batch.pieces]
        values = [vector for _, answer in own for vector in answer["vectors"]]
        whole = values[0] if len(values) == 1 else _mean(values)
        chunks = [Chunk(vector, piece.place) for vector, piece in zip(values, pieces, strict=True)]
        metadata = work.job.request.get("metadata") or {}
        vectors.append(Vector(wanted.model.name, whole, metadata, chunks if len(chunks) > 1 else ()))
        source = "cache" if all(answer["source"] == "cache" for _, answer in own) else "generated"
        embeddings.append(
            {
                "model": wanted.model.name,
                "dimensions": wanted.dimensions,
                "source": source,
                "embedding": whole,
            }
        )
    result = {"source": embeddings[0]["source"], "embedding": embeddings[0]["embedding"]}
    if len(embeddings) > 1:
        result["embeddings"] = embeddings
    return Settled(result, vectors=vectors)


def _mean(vectors: Sequence[Sequence[float]]) -> list[float]:
    """Returns the vector of length 1 to which all of these, each counted the same, point together."""
    sums = [sum(values) for values in zip(*map(_unit, vectors), strict=True)]
    return _unit(sums)


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


class AskedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A model that a request names, and the length of its vectors."""

    rules: ClassVar[Mapping[str, Any]] = {
        "oneOf": [
            {"properties": {"model": {"const": model.name}, "dimensions": {"enum": [*model.lengths, None]}}}
            for model in MODELS.values()
        ]
    }

    model: Name
    dimensions: int | None = None

    def __post_init__(self) -> None:
        """Refuses what no settings could allow."""
        try:
            model = find_model(self.model)
            if self.dimensions is not None:
                check_length(model, self.dimensions)
        except Refused as refusal:
            raise ValueError(str(refusal)) from None


def _check(request: Any) -> None:
    if request.contentType == "text" and request.content is None:
        raise ValueError("Object missing required field `content`")
    if request.contentType != "text" and request.s3Key is None:
        raise ValueError("Object missing required field `s3Key`")
    for name in ("videoFrames", "videoContent"):
        if request.contentType != "video" and getattr(request, name) is not None:
            raise ValueError(f"The field `{name}` is for contentType `video`")
    if request.videoContent == "transcript" and request.videoFrames is not None:
        raise ValueError("The field `videoFrames` is for videoContent `frames` or `both`")
    if request.metadata is not None and _is_deeper(request.metadata, DEEPEST):
        raise ValueError(f"Invalid field `metadata`: it is nested more than {DEEPEST} deep")
    if request.models is not None:
        _check_models(request)


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [inner for outer in level for inner in _values(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _values(container: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def _check_models(request: Any) -> None:
    content = msgspec.structs.asdict(request)
    of_texts = [asked.model for asked in request.models if MODELS[asked.model].images is None]
    if has_pictures(content) and not has_text(content) and of_texts:
        raise ValueError(f"Invalid field `models`: {of_texts[0]} takes texts, no {request.contentType}s")
    if has_pictures(content) and has_text(content) and len(of_texts) in (0, len(request.models)):
        missing = "texts alone, for the transcript" if not of_texts else "pictures, for the frames"
        raise ValueError(f"Invalid field `models`: none of them takes {missing}")


def _admit(request: Request, settings: Settings) -> None:
    for place, asked in enumerate(request.get("models") or ()):
        if asked["model"] not in settings.embedding.models:
            raise NotAdmitted(f"models[{place}].model", _not_allowed(asked["model"]))


def _not_allowed(model: str) -> str:
    return f"embedding.models in the settings does not allow {model}"


NULL = {"type": "null"}


def _rules(content_type: str, needed: str, **further: Any) -> dict[str, Any]:
    properties = {"contentType": {"const": content_type}, needed: {"type": "string"}, **further}
    # What is left out is null; so what must be something must be there.
    must = [name for name, rule in properties.items() if "const" in rule]
    return {"properties": properties, "required": [*must, needed]}


def _one_of(models: Iterable[str]) -> dict[str, Any]:
    return {"properties": {"model": {"enum": list(models)}}}


_PICTURES = _one_of(model.name for model in MODELS.values() if model.images)
_TEXTS = _one_of(model.name for model in MODELS.values() if not model.images)
# What `_check` demands.
RULES = {
    "oneOf": [
        _rules("text", "content", videoFrames=NULL, videoContent=NULL),
        _rules("image", "s3Key", videoFrames=NULL, videoContent=NULL, models={"items": _PICTURES}),
        _rules("video", "s3Key", videoContent={"enum": ["frames", None]}, models={"items": _PICTURES}),
        _rules("video", "s3Key", videoFrames=NULL, videoContent={"const": "transcript"}),
        _rules(
            "video",
            "s3Key",
            videoContent={"const": "both"},
            models={"anyOf": [NULL, {"allOf": [{"contains": _PICTURES}, {"contains": _TEXTS}]}]},
        ),
    ]
}


def _asked(request: Request) -> tuple[str, ...]:  # noqa: ARG001 - the shape of Pipeline.asked
    return ("generateEmbedding",)


def _outcome(results: Results) -> dict[str, Any]:
    return dict(results.get("embedding") or {})


def _metadata(outcome: Results) -> dict[str, Any]:
    several = {"embeddings": outcome["embeddings"]} if "embeddings" in outcome else {}
    return {"embedding": outcome["embedding"], "embeddingSource": outcome["source"], **several}


EMBEDDING = Pipeline(
    queue="embedding-generation",
    task="mediaq.tasks.generate_embedding",
    description="generate-embedding",
    request=checked_type(
        "EmbeddingRequest",
        _check,
        RULES,
        ("contentType", Literal["text", "image", "video"]),
        ("content", Text | None, None),
        ("s3Key", ObjectKey | None, None),
        ("metadata", Annotated[dict[str, Any], Meta(description=f"At most {DEEPEST} levels.")] | None, None),
        ("models", Annotated[list[AskedModel], Meta(min_length=1, max_length=MOST_MODELS)] | None, None),
        ("videoFrames", Annotated[int, Meta(ge=1, le=MOST_FRAMES)] | None, None),
        ("videoContent", VideoContent | None, None),
    ),
    operations=(Operation("generateEmbedding", "embedding", generate_embedding, _estimate),),
    asked=_asked,
    outcome=_outcome,
    metadata=_metadata,
    example={
        "mediaItemId": "note-1",
        "contentType": "text",
        "content": "We had a wonderful day in Paris.",
        "metadata": {"album": "holidays"},
        "models": [{"model": TITAN_TEXT, "dimensions": 256}],
    },
    admit=_admit,
)
