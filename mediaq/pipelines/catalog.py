"""The pipelines there are: a new one is its module and its name here."""

from __future__ import annotations

from mediaq.pipelines.embedding import EMBEDDING
from mediaq.pipelines.image import IMAGE
from mediaq.pipelines.operation import Pipeline
from mediaq.pipelines.text import TEXT
from mediaq.pipelines.video import VIDEO

PIPELINES = {pipeline.queue: pipeline for pipeline in (IMAGE, VIDEO, TEXT, EMBEDDING)}


def find_pipeline(job_type: str) -> Pipeline | None:
    """Returns the pipeline of a job type, which is the name of its queue too."""
    return PIPELINES.get(job_type)
