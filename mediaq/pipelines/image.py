"""Images: four looks by Rekognition, each at the image as a browser shows it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from mediaq.aws.calls import call, request_id
from mediaq.aws.limits import limit_of
from mediaq.model import Charge, Settled
from mediaq.pipelines import pictures
from mediaq.pipelines.metered import Call, Make, paid
from mediaq.pipelines.operation import Operation, Pipeline, Request, Work
from mediaq.pipelines.parameters import Faces, Labels, Moderation, Parameters, Text, aws_parameters
from mediaq.pipelines.patience import patiently
from mediaq.pipelines.pictures import Picture, Route
from mediaq.pipelines.price_list import prices_now
from mediaq.pipelines.requests import ObjectKey, request_type
from mediaq.pipelines.reuse import same
from mediaq.pipelines.scratch import Scratch
from mediaq.settings import Settings

PRICE = "rekognition.image"


def _look(
    name: str,
    result: str,
    method: str,
    part: str,
    parameters: type[Parameters] | None = None,
    *,
    turns: bool = False,
    example: bool | Mapping[str, Any] = True,
) -> Operation:
    """Makes an operation.

    Args:
        name: How callers ask for it.
        result: The key of its result.
        method: The call, by boto's name.
        part: What of the answer is the result.
        parameters: What callers may say of it.
        turns: Whether it turns a JPEG as its EXIF says, by its documentation; else that is done here.
        example: What a caller may say of it.
    """
    limit = limit_of("rekognition", method)

    async def perform(work: Work) -> Any:
        asked = aws_parameters(parameters, work.job.request["operations"][name])
        charge = prices_now().charge(PRICE, 1)

        async def make(content: Scratch | None) -> Settled:
            image = await _image(work, content)
            answer = await call(work.tools.aws, "rekognition", method, Image=image, **asked)
            return Settled(answer[part], charge, request_id=request_id(answer))

        async def attempt() -> Any:
            picture = await _find_picture(work)

            async def prepare() -> Make:
                return partial(make, await _prepare(work, picture, turns=turns))

            known_by = same(work, method, asked, picture.info.version)
            look = Call(service="rekognition", limit=limit, estimate=charge, prepare=prepare, same=known_by)
            return await paid(work, look)

        return await patiently(work, attempt)

    return Operation(name, result, perform, _one_image, parameters=parameters, example=example)


def _one_image(request: Request, settings: Settings) -> tuple[Charge, ...]:  # noqa: ARG001 - the shape of Estimate
    return (prices_now().charge(PRICE, 1),)


async def _find_picture(work: Work) -> Picture:
    """Looks at the image, once for all of the job's operations."""
    tools, key = work.tools, work.job.request["s3Key"]
    return await work.share("picture", lambda: pictures.look(tools.aws, work.bucket, key))


async def _prepare(work: Work, picture: Picture, *, turns: bool) -> Scratch | None:
    """Puts aside what is to be sent of an image, once for all of the job's operations.

    Returns:
        The bytes to be sent; None: Rekognition reads the object itself.
    """
    way = pictures.route(picture, turns=turns, by_reference=work.tools.settings.aws.read_by_reference)
    return None if way is Route.REFERENCE else await work.share(way, lambda: _put_aside(work, picture, way))


async def _put_aside(work: Work, picture: Picture, way: Route) -> Scratch:
    return await Scratch.of(await pictures.fetch(work.tools.aws, work.tools.converter, picture, way))


async def _image(work: Work, content: Scratch | None) -> dict[str, Any]:
    """Returns the `Image` of a request; made last of all, for many may wait for their turns."""
    if content is None:
        return {"S3Object": {"Bucket": work.bucket, "Name": work.job.request["s3Key"]}}
    return {"Bytes": await content.read()}


OPERATIONS = (
    _look(
        "detectLabels",
        "labels",
        "detect_labels",
        "Labels",
        Labels,
        turns=True,
        example={"maxLabels": 10, "minConfidence": 80},
    ),
    _look("detectText", "text", "detect_text", "TextDetections", Text),
    _look("detectFaces", "faces", "detect_faces", "FaceDetails", Faces, turns=True),
    _look(
        "detectModerationLabels",
        "moderation",
        "detect_moderation_labels",
        "ModerationLabels",
        Moderation,
        turns=True,
    ),
)

IMAGE = Pipeline(
    queue="image-processing",
    task="mediaq.tasks.process_image",
    description="process-image",
    request=request_type("ImageRequest", OPERATIONS, ("s3Key", ObjectKey)),
    operations=OPERATIONS,
    example={"mediaItemId": "photo-1", "s3Key": "uploads/photo-1.jpg", "costCenter": "marketing"},
)
