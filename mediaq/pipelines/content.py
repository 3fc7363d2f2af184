"""A job's object in S3, by the version of it that the job is about."""

from __future__ import annotations

from mediaq.aws import objects
from mediaq.aws.objects import ObjectInfo
from mediaq.pipelines.metered import patiently
from mediaq.pipelines.operation import Work


async def version(work: Work) -> str:
    """Names the object as it is now; it is looked at once for all of the job's operations.

    Raises:
        Refused: There is no such object.
        ProviderError: S3 cannot be asked for now.
    """
    return name_version(await work.share("object", lambda: patiently(work, lambda: _look(work))))


def name_version(info: ObjectInfo) -> str:
    """Returns a name of an object that changes when its content does."""
    return f"s3://{info.bucket}/{info.key} {info.etag}"


async def _look(work: Work) -> ObjectInfo:
    return await objects.head(work.tools.aws, work.bucket, work.job.request["s3Key"])
