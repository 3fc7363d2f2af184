"""The demo sorts files by what is in them."""

from pathlib import Path

import media
import pytest
from quarters import HEIC

from mediaq.embedded.demo_jobs import plan_orders
from mediaq.embedded.demo_media import Kind, UnknownMediaError, make_samples, recognise


def written(folder: Path, content: bytes, name: str = "file.bin") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (media.picture("JPEG"), Kind.IMAGE),
        (media.picture("PNG"), Kind.IMAGE),
        (media.picture("WEBP"), Kind.IMAGE),
        (media.picture("BMP"), Kind.IMAGE),
        (HEIC.read_bytes(), Kind.IMAGE),
        (media.film(5), Kind.VIDEO),
        (media.film(5, kind="matroska"), Kind.VIDEO),
        (media.film(5, kind="avi", codec="mpeg4"), Kind.VIDEO),
        (b"BM is how this text begins, and how a BMP does", Kind.TEXT),
        ("Grüße aus Köln\r\n".encode(), Kind.TEXT),
        ("\ufeffwith a mark at its start".encode(), Kind.TEXT),
    ],
)
def test_a_file_is_what_its_content_is(tmp_path: Path, content: bytes, kind: Kind) -> None:
    assert recognise(written(tmp_path, content)).kind is kind


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (bytes(range(256)), "no UTF-8 text"),
        ("text in UTF-16".encode("utf-16"), "no UTF-8 text"),
        (b"text with a NUL\x00", "no UTF-8 text"),
        (b"long text " * 200_000, "up to 1 MiB"),
        (media.picture("ICO"), r"no image \(JPEG, PNG, WebP"),
        (media.sound(), "no moving pictures"),
        (media.covered_sound(), "no moving pictures"),
        (media.cut(media.film(50), 0.5), "cut short"),
    ],
)
def test_what_is_nothing_known_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = written(tmp_path, content, "holiday.jpg")
    with pytest.raises(UnknownMediaError, match=reason) as refusal:
        recognise(path)
    assert str(path) in str(refusal.value)


def test_the_samples_are_recognised_as_what_they_are(tmp_path: Path) -> None:
    samples = make_samples(tmp_path)
    assert samples == [recognise(sample.path) for sample in samples]
    assert [sample.kind for sample in samples] == list(Kind)


def test_each_kind_has_its_jobs_with_all_operations(tmp_path: Path) -> None:
    orders = [order for sample in make_samples(tmp_path) for order in plan_orders(sample)]
    assert [(order.job_type, len(order.body.get("operations", ()))) for order in orders] == [
        ("image-processing", 4),
        ("video-processing", 3),
        ("text-analysis", 4),
        ("embedding-generation", 0),
    ]


def test_a_text_is_one_media_item_for_both_of_its_jobs(tmp_path: Path) -> None:
    analysis, embedding = plan_orders(recognise(written(tmp_path, "\ufeffGood morning".encode())))
    assert analysis.body["mediaItemId"] == embedding.body["mediaItemId"]
    assert analysis.body["text"] == embedding.body["content"] == "Good morning"
