"""The jobs that are asked for: drawn from the seed; each is about media of its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from random import Random
from typing import Any

from attrs import frozen

from havoc.schedule import source
from mediaq.embedded.samples import draw_picture, film_clip, write_paragraph
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.comprehend import READINGS
from mediaq.pipelines.embedding import EMBEDDING
from mediaq.pipelines.image import IMAGE
from mediaq.pipelines.operation import Pipeline
from mediaq.pipelines.passages import sample, split
from mediaq.pipelines.text import TEXT
from mediaq.pipelines.video import VIDEO

FILM_SECONDS = 1.0
# How many requests are due at the same time, on average.
AT_ONCE = 10
# The share of requests that are sent again, with the same key, after they were accepted.
REPEATED = 0.2


@frozen
class Order:
    """A job to ask for.

    Args:
        number: Its number; its media item and its idempotency key are named after it.
        due: Seconds after the first request.
        queue: Its job type.
        body: The request.
        resources: How the stand-in's book names what its calls are about.
        upload: What is uploaded for it beforehand.
        repeated: Whether the request is sent again after it was accepted.
    """

    number: int
    due: float
    queue: str
    body: Mapping[str, Any]
    resources: frozenset[str]
    upload: bytes | None
    repeated: bool

    @property
    def media_item(self) -> str:
        """The media item, which is of this job alone."""
        return str(self.body["mediaItemId"])

    @property
    def key(self) -> str:
        """The idempotency key."""
        return f"order-{self.number}"

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations that the job takes."""
        return PIPELINES[self.queue].planned(self.body)


def draw_orders(seed: int, count: int, seconds: float, bucket: str) -> list[Order]:
    """Return jobs in the order in which they are due.

    The last ones are one of each type with all operations: whatever strikes last meets them.

    Args:
        seed: The seed.
        count: How many.
        seconds: Over how much time the requests are spread.
        bucket: Where uploads are.
    """
    chance = source(seed, "orders")
    last = list(_SHARES)[:count]
    early = count - len(last)
    # Several at once, as when someone uploads an album: there is a queue at times.
    times = [chance.uniform(0, seconds) for _ in range(1 + early // AT_ONCE)]
    dues = [*sorted(chance.choices(times, k=early)), *(seconds for _ in last)]
    makers = [*chance.choices(list(_SHARES), list(_SHARES.values()), k=early), *last]
    return [
        make(_Draft(number, round(due, 2), bucket, chance, complete=number >= early))
        for number, (due, make) in enumerate(zip(dues, makers, strict=True))
    ]


@frozen
class _Draft:
    number: int
    due: float
    bucket: str
    chance: Random
    complete: bool

    @property
    def s3_key(self) -> str:
        return f"uploads/{self.number}"

    @property
    def s3_address(self) -> str:
        return f"s3://{self.bucket}/{self.s3_key}"

    def some_of(self, pipeline: Pipeline) -> dict[str, bool]:
        """Return one, some or all of a pipeline's operations."""
        names = [operation.name for operation in pipeline.operations]
        most = len(names)
        count = most if self.complete else self.chance.choice((1, self.chance.randint(1, most), most))
        return dict.fromkeys(self.chance.sample(names, count), True)

    def order(
        self, pipeline: Pipeline, resources: Iterable[str], upload: bytes | None = None, **body: Any
    ) -> Order:
        common = {"mediaItemId": f"item-{self.number}", "costCenter": "chaos"}
        place = {} if upload is None else {"s3Key": self.s3_key}
        repeated = self.chance.random() < REPEATED
        about = frozenset(resources)
        return Order(self.number, self.due, pipeline.queue, common | place | body, about, upload, repeated)


def _image(draft: _Draft) -> Order:
    operations = draft.some_of(IMAGE)
    return draft.order(IMAGE, [draft.s3_address], _picture(draft.number), operations=operations)


def _video(draft: _Draft) -> Order:
    return draft.order(VIDEO, [draft.s3_address], _film(), operations=draft.some_of(VIDEO))


def _text(draft: _Draft) -> Order:
    # One in three is long: its mood is read passage by passage.
    text = _words(draft.number) * draft.chance.choice((1, 1, 20))
    body: dict[str, Any] = {"text": text, "operations": draft.some_of(TEXT)}
    if draft.chance.random() < 0.5:
        body["languageCode"] = "en"
    return draft.order(TEXT, _read_parts(text), **body)


def _embedding(draft: _Draft) -> Order:
    if draft.chance.random() < 0.5:
        text = _words(draft.number)
        return draft.order(EMBEDDING, [_digest(text)], contentType="text", content=text)
    picture = _picture(draft.number)
    sent = base64.b64encode(picture).decode()
    return draft.order(EMBEDDING, [_digest(sent)], picture, contentType="image")


_SHARES: Mapping[Callable[[_Draft], Order], int] = {_image: 35, _text: 30, _embedding: 20, _video: 15}


def _words(number: int) -> str:
    # No two are alike: an embedding of the same content is made once.
    return f"Note {number}. {write_paragraph()} "


def _read_parts(text: str) -> Iterator[str]:
    """Yield the digests of all that Comprehend may be sent of a text: passages by size, and a sample."""
    yield _digest(sample(text))
    for most in {reading.most for reading in READINGS.values()}:
        yield from (_digest(passage.of(text)) for passage in split(text, most))


def _picture(number: int) -> bytes:
    # Whoever reads a JPEG ignores what follows its end.
    return _one_picture() + f"{number}".encode()


@cache
def _one_picture() -> bytes:
    return draw_picture()


@cache
def _film() -> bytes:
    return film_clip(FILM_SECONDS)


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
