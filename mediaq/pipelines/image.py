"""Images: four looks by Rekognition, each at the image as a browser shows it."""

from __future__ import annotations

from typing import Any

from mediaq.pipelines import pictures
from mediaq.pipelines.metered import once
from mediaq.pipelines.operation import Answer, Call, Operation, Pipeline, Request, Work
from mediaq.pipelines.parameters import Faces, Labels, Moderation, Parameters, Text, aws_parameters
from mediaq.pipelines.pictures import Picture, Route
from mediaq.pipelines.requests import ObjectKey, request_type
from mediaq.pipelines.scratch import Scratch


async def _image(work: Work, *, turns: bool) -> dict[str, Any]:
    """Returns the `Image` of a request; the job's operations look at it, read it and convert it once."""
    tools, key = work.tools, work.job.request["s3Key"]
    picture = await work.share("picture", lambda: pictures.look(tools.aws, work.bucket, key))
    way = pictures.route(picture, turns=turns, by_reference=tools.settings.aws.read_by_reference)
    if way is Route.REFERENCE:
        return {"S3Object": {"Bucket": work.bucket, "Name": key}}
    content = await work.share(way, lambda: _fetched(work, picture, way))
    return {"Bytes": await content.read()}


async def _fetched(work: Work, picture: Picture, way: Route) -> Scratch:
    return await Scratch.of(await pictures.fetch(work.tools.aws, work.tools.converter, picture, way))


def _one_image(request: Request) -> int:  # noqa: ARG001 - the shape of Call.count
    return 1


def _look(
    name: str,
    result: str,
    method: str,
    part: str,
    parameters: type[Parameters] | None = None,
    *,
    turns: bool = False,
) -> Operation:
    """Makes an operation.

    Args:
        name: How callers ask for it.
        result: The key of its result.
        method: The call, by boto's name.
        part: What of the answer is the result.
        parameters: What callers may say of it.
        turns: Whether it turns a JPEG as its EXIF says, by its documentation; else that is done here.
    """

    async def params(work: Work) -> dict[str, Any]:
        asked = aws_parameters(parameters, work.job.request["operations"][name])
        return {"Image": await _image(work, turns=turns), **asked}

    def read(answer: Answer) -> Any:
        return answer[part]

    call = Call("rekognition", method, "rekognition.image", params, _one_image, read)
    return Operation(name, result, once(call), parameters=parameters)


OPERATIONS = (
    _look("detectLabels", "labels", "detect_labels", "Labels", Labels, turns=True),
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
)
