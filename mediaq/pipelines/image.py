"""Images: four looks by Rekognition, each at the object in S3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mediaq.pipelines.content import version
from mediaq.pipelines.metered import once
from mediaq.pipelines.operation import Answer, Call, Operation, Pipeline, Request, Work
from mediaq.pipelines.requests import ObjectKey, request_type


def _one_image(request: Request) -> int:  # noqa: ARG001 - the shape of Call.count
    return 1


def _look(
    name: str, result: str, method: str, part: str, extra: Mapping[str, Any] | None = None
) -> Operation:
    def params(work: Work) -> dict[str, Any]:
        place = {"Bucket": work.bucket, "Name": work.job.request["s3Key"]}
        return {"Image": {"S3Object": place}, **(extra or {})}

    def read(answer: Answer) -> Any:
        return answer[part]

    call = Call("rekognition", method, "rekognition.image", params, _one_image, read, version)
    return Operation(name, result, once(call))


OPERATIONS = (
    _look("detectLabels", "labels", "detect_labels", "Labels"),
    _look("detectText", "text", "detect_text", "TextDetections"),
    _look("detectFaces", "faces", "detect_faces", "FaceDetails", {"Attributes": ["DEFAULT"]}),
    _look("detectModerationLabels", "moderation", "detect_moderation_labels", "ModerationLabels"),
)

IMAGE = Pipeline(
    queue="image-processing",
    task="mediaq.tasks.process_image",
    description="process-image",
    request=request_type("ImageRequest", OPERATIONS, ("s3Key", ObjectKey)),
    operations=OPERATIONS,
)
