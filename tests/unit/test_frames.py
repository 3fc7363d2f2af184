"""Probing films and taking pictures from them."""

from __future__ import annotations

import contextlib
import io
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import media
import pytest
from av.video.reformatter import Colorspace
from PIL import Image, ImageStat

from mediaq.errors import UnreadableMedia
from mediaq.pipelines import frames
from mediaq.pipelines.frames import Probe, RangedFile, Thumbnail, poster, probe, thumbnails
from mediaq.pipelines.ranged import BLOCK
from mediaq.pipelines.stills import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from av.video.stream import VideoStream

UNKNOWN = "no film or sound of a known kind"
NOT_FILMS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "the file is empty"),
    "text": (lambda: b"Dear diary, " * 500, UNKNOWN),
    "noise": (lambda: bytes(range(256)) * 100, UNKNOWN),
    "png": (lambda: media.picture("PNG"), UNKNOWN),
    "jpeg": (lambda: media.picture("JPEG"), UNKNOWN),
    "gif": (lambda: media.picture("GIF"), UNKNOWN),
    "webp": (lambda: media.picture("WEBP"), UNKNOWN),
    "avif": (lambda: media.picture("AVIF"), "is a picture"),
    "cut short": (lambda: media.cut(media.film(), 0.5), r"index \(moov\) is missing"),
    "unknown codec": (lambda: media.film().replace(b"avc1", b"zzzz"), "codec that is not known"),
}
FILMS: dict[str, Callable[[], bytes]] = {
    "mp4": lambda: media.film(50),
    "one keyframe": lambda: media.film(50, keyframe_every=1000),
    "with sound": lambda: media.film(50, sound=True),
    "index first": lambda: media.index_first(media.film(50)),
    "fragments": lambda: media.film(50, movflags="frag_keyframe+empty_moov"),
    "matroska": lambda: media.film(50, kind="matroska"),
    "no duration": lambda: media.film(50, kind="matroska", live="1"),
    "transport stream": lambda: media.film(50, kind="mpegts"),
}


def pictures(data: bytes, count: int = 4, max_side: int = 80) -> list[Thumbnail]:
    return list(thumbnails(io.BytesIO(data), count=count, max_side=max_side))


def opened(thumbnail: Thumbnail) -> Image.Image:
    """The picture, having checked that it is what the thumbnail says."""
    image = Image.open(io.BytesIO(thumbnail.still.content))
    image.load()
    assert image.format == "JPEG"
    assert image.size == (thumbnail.still.width, thumbnail.still.height)
    return image.convert("RGB")


def turned(degrees: int) -> bytes:
    """A film, red in its upper left quarter as stored, to be turned clockwise by `degrees` for display."""

    def draw(_number: int, size: tuple[int, int]) -> Image.Image:
        image = Image.new("RGBA", size, (255, 255, 255))
        image.paste((255, 0, 0), (0, 0, size[0] // 2, size[1] // 2))
        return image

    return media.film(5, draw=draw, prepare=lambda stream: stream.set_display_rotation(-degrees))


class TestProbe:
    def test_tells_what_a_film_with_sound_is(self) -> None:
        assert probe(io.BytesIO(media.film(50, sound=True))) == Probe(
            2000, 2000, 160, 90, "h264", "aac", 0, 25.0, 2, "mp4"
        )

    def test_tells_a_silent_film_and_a_sound_apart(self) -> None:
        film, sound = probe(io.BytesIO(media.film())), probe(io.BytesIO(media.sound()))
        assert (film.has_video, film.has_audio) == (True, False)
        assert (sound.has_video, sound.has_audio) == (False, True)
        assert sound == Probe(1000, 1000, None, None, None, "aac", 0, None, 2, "m4a")

    def test_sound_that_ends_before_the_pictures_has_its_own_length(self) -> None:
        found = probe(io.BytesIO(media.film(50, sound=True, sound_seconds=1.25)))
        assert (found.duration_ms, found.audio_ms) == (2000, 1250)

    def test_a_cover_picture_is_no_film(self) -> None:
        found = probe(io.BytesIO(media.covered_sound()))
        assert found.has_audio
        assert not found.has_video
        assert found.audio_codec == "mp3"

    @pytest.mark.parametrize("degrees", [0, 90, 180, 270])
    def test_tells_how_far_to_turn_and_the_size_as_stored(self, degrees: int) -> None:
        found = probe(io.BytesIO(turned(degrees)))
        assert (found.rotation, found.width, found.height) == (degrees, 160, 90)

    def test_measures_a_browsers_recording_that_does_not_say_how_long_it_is(self) -> None:
        recording = media.film(75, kind="matroska", live="1")
        assert probe(io.BytesIO(recording)).duration_ms == 3000

    def test_reads_a_few_blocks_of_a_large_file_with_its_index_at_the_end(self) -> None:
        data = media.padded(media.film(), 50 * BLOCK)
        asked: list[tuple[int, int]] = []

        def fetch(start: int, end: int) -> bytes:
            asked.append((start, end))
            return data[start:end]

        file = RangedFile(fetch, len(data))
        assert probe(file).duration_ms == 2000
        assert len(list(thumbnails(file, count=5, max_side=80))) == 5
        assert len(asked) <= 4

    def test_does_not_mind_the_position_that_a_file_was_left_at(self) -> None:
        file = io.BytesIO(media.film())
        file.seek(1000)
        assert probe(file) == probe(file)

    def test_does_not_mind_titles_in_another_encoding(self) -> None:
        film = media.film().replace(b"VideoHandler", b"Vid\xe9oHandler")
        assert probe(io.BytesIO(film)).has_video

    @pytest.mark.parametrize(("make", "reason"), NOT_FILMS.values(), ids=NOT_FILMS)
    def test_says_why_a_file_is_no_film(self, make: Callable[[], bytes], reason: str) -> None:
        data = make()
        with pytest.raises(UnreadableMedia, match=reason):
            probe(io.BytesIO(data))
        with pytest.raises(UnreadableMedia, match=reason):
            pictures(data)

    def test_a_playlist_opens_no_other_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "secret.mp4").write_bytes(media.film())
        with pytest.raises(UnreadableMedia, match="no film or sound of a known kind"):
            probe(io.BytesIO(b"ffconcat version 1.0\nfile secret.mp4\n"))

    def test_refuses_a_picture_too_large_to_hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(frames, "MAX_PIXELS", 160 * 90 - 1)
        with pytest.raises(UnreadableMedia, match="160 x 90 pixels, more than 14,399"):
            probe(io.BytesIO(media.film(1)))

    def test_refuses_pictures_larger_than_the_headers_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        growing = media.film(10, kind="mpegts") + media.film(10, kind="mpegts", size=(320, 180))
        assert probe(io.BytesIO(growing)).has_video
        monkeypatch.setattr(frames, "MAX_PIXELS", 160 * 90)
        with pytest.raises(UnreadableMedia, match="no picture of the film can be decoded"):
            probe(io.BytesIO(growing))

    def test_refuses_a_film_of_which_only_the_index_arrived(self) -> None:
        film = media.index_first(media.film())
        with pytest.raises(UnreadableMedia, match="no picture of the film can be decoded"):
            probe(io.BytesIO(film[: film.index(b"mdat") + 4]))

    def test_damaged_files_leave_nothing_on_the_terminal(self, capfd: pytest.CaptureFixture[str]) -> None:
        film = media.index_first(media.film(25))
        with contextlib.suppress(UnreadableMedia):
            pictures(film[:-2000] + bytes(range(250)) * 8)
        with pytest.raises(UnreadableMedia):
            probe(io.BytesIO(media.cut(media.film(), 0.5)))
        assert capfd.readouterr() == ("", "")


class TestTimes:
    @pytest.mark.parametrize("make", FILMS.values(), ids=FILMS)
    def test_shows_the_frame_at_the_middle_of_each_slice(self, make: Callable[[], bytes]) -> None:
        """2 s of 25 frames a second in quarters: the middles lie at 250, 750, 1250 and 1750 ms."""
        found = pictures(make(), count=4)
        assert [each.at_ms for each in found] == [240, 720, 1240, 1720]
        assert [media.number_shown(each.still.content) for each in found] == [
            number % 16 for number in (6, 18, 31, 43)
        ]

    def test_finds_the_frames_of_a_long_film_with_a_frame_a_minute(self) -> None:
        found = pictures(media.film(60, rate=Fraction(1, 60)), count=3)
        assert [each.at_ms for each in found] == [10 * 60_000, 30 * 60_000, 50 * 60_000]
        assert [media.number_shown(each.still.content) for each in found] == [10, 30 % 16, 50 % 16]

    def test_shows_each_frame_once_when_there_are_fewer_than_asked_for(self) -> None:
        found = pictures(media.film(3), count=10)
        assert [media.number_shown(each.still.content) for each in found] == [0, 1, 2]
        assert [each.at_ms for each in found] == [0, 40, 80]

    def test_a_container_that_cannot_go_before_its_start_is_read_from_there(self) -> None:
        avi = media.film(50, kind="avi", keyframe_every=12)
        assert probe(io.BytesIO(avi)).duration_ms == 2000
        assert len(pictures(avi, count=3)) == 3

    def test_a_single_frame_is_enough(self) -> None:
        assert [each.at_ms for each in pictures(media.film(1))] == [0]


class TestPictures:
    @pytest.mark.parametrize(
        ("stored", "max_side", "size"),
        [
            ((160, 90), 80, (80, 45)),
            ((90, 160), 80, (45, 80)),
            ((160, 90), 33, (33, 19)),
            ((160, 90), 1000, (160, 90)),
            ((640, 16), 20, (20, 1)),
        ],
    )
    def test_the_longer_side_fits_and_nothing_is_enlarged(
        self, stored: tuple[int, int], max_side: int, size: tuple[int, int]
    ) -> None:
        (found,) = pictures(media.film(2, size=stored), count=1, max_side=max_side)
        assert opened(found).size == size

    def test_pixels_that_are_not_square_are_made_so(self) -> None:
        def widen(stream: VideoStream) -> None:
            stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

        (found,) = pictures(media.film(2, size=(144, 108), prepare=widen), count=1, max_side=500)
        assert opened(found).size == (192, 108)

    @pytest.mark.parametrize(
        ("degrees", "size", "red"),
        [
            (0, (80, 45), (5, 5)),
            (90, (45, 80), (40, 5)),
            (180, (80, 45), (75, 40)),
            (270, (45, 80), (5, 75)),
        ],
    )
    def test_stands_upright(self, degrees: int, size: tuple[int, int], red: tuple[int, int]) -> None:
        (found,) = pictures(turned(degrees), count=1)
        image = opened(found)
        corners = [(5, 5), (size[0] - 5, 5), (5, size[1] - 5), (size[0] - 5, size[1] - 5)]
        assert image.size == size
        assert [corner for corner in corners if is_red(image, corner)] == [red]

    def test_is_not_turned_again_by_whoever_shows_it(self) -> None:
        (found,) = pictures(turned(90), count=1)
        assert not Image.open(io.BytesIO(found.still.content)).getexif()

    @pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 30), (20, 180, 60)])
    def test_keeps_the_colours(self, colour: tuple[int, int, int]) -> None:
        film = media.film(2, draw=lambda _, size: Image.new("RGBA", size, colour))
        (found,) = pictures(film, count=1)
        assert ImageStat.Stat(opened(found)).mean == pytest.approx(colour, abs=4)

    def test_keeps_the_colours_of_high_definition_film(self) -> None:
        """Such films use another colour matrix (BT.709) than JPEG files do (BT.601)."""
        (found,) = pictures(film_in_bt709((20, 180, 60)), count=1)
        assert ImageStat.Stat(opened(found)).mean == pytest.approx((20, 180, 60), abs=4)

    def test_is_small_and_not_coarse(self) -> None:
        def ramp(_number: int, size: tuple[int, int]) -> Image.Image:
            return Image.linear_gradient("L").resize(size).convert("RGBA")

        (found,) = pictures(media.film(1, size=(320, 180), draw=ramp), count=1, max_side=320)
        column = opened(found).convert("L").resize((1, 180)).tobytes()
        assert all(abs(grey - row * 255 / 180) < 6 for row, grey in enumerate(column))
        assert len(found.still.content) < 8_000


def film_in_bt709(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        stream.codec_context.colorspace = Colorspace.ITU709
        image = Image.new("RGBA", (160, 90), colour)
        frame = av.VideoFrame.from_bytes(image.tobytes(), *image.size)
        film.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        film.mux(stream.encode(None))
    return out.getvalue()


def is_red(image: Image.Image, at: tuple[int, int]) -> bool:
    pixel = image.getpixel(at)
    assert isinstance(pixel, tuple)
    return pixel[0] > 200 and pixel[1] < 60


class TestDamage:
    def test_a_film_cut_short_gives_what_arrived(self) -> None:
        whole = media.index_first(media.film(100, keyframe_every=10))
        found = pictures(media.cut(whole, 0.6), count=10)
        assert 3 <= len(found) < 10
        for each in found:
            assert media.number_shown(each.still.content) == each.at_ms // 40 % 16
        assert len({each.at_ms for each in found}) == len(found)

    def test_a_film_cut_before_the_first_middle_gives_its_beginning(self) -> None:
        whole = media.index_first(media.film(100, rate=1, keyframe_every=10))
        (found,) = pictures(media.cut(whole, 0.5), count=1)
        assert (found.at_ms, media.number_shown(found.still.content)) == (0, 0)

    def test_sound_alone_gives_no_pictures(self) -> None:
        with pytest.raises(UnreadableMedia, match="sound but no moving pictures"):
            pictures(media.sound())

    def test_a_film_of_zeros_gives_no_pictures(self) -> None:
        film = media.index_first(media.film())
        start = film.index(b"mdat") + 4
        with pytest.raises(UnreadableMedia, match="no picture of the film can be decoded"):
            pictures(film[:start] + bytes(len(film) - start))


class TestSource:
    @pytest.mark.parametrize("error", [ConnectionResetError("lost"), EOFError("lost")])
    @pytest.mark.parametrize("kind", ["mp4", "matroska"])
    def test_a_failed_read_is_never_taken_for_a_bad_or_a_shorter_film(
        self, error: Exception, kind: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Whichever read fails, its error comes out, and the next film is not troubled by it."""
        data = media.film(10, kind=kind, draw=media.noise)
        reads = 0
        while True:
            file = Failing(data, reads, error)
            try:
                list(thumbnails(file, count=3, max_side=20))
            except type(error) as raised:
                assert raised is error  # noqa: PT017  # whether it is raised at all depends on the read
            else:
                assert not file.failed
                break
            assert probe(io.BytesIO(data)).has_video
            reads += 1
        assert reads > 4
        assert capfd.readouterr() == ("", "")

    def test_closing_the_file_ends_the_work(self) -> None:
        data = media.film(50, draw=media.noise)
        file = RangedFile(lambda start, end: data[start:end], len(data))
        found = thumbnails(file, count=4, max_side=20)
        next(found)
        file.close()
        with pytest.raises(ValueError, match="closed"):
            list(found)

    def test_leaves_the_file_open(self) -> None:
        file = io.BytesIO(media.film(5))
        probe(file)
        next(thumbnails(file, count=1, max_side=20))
        assert not file.closed


class Failing(io.BytesIO):
    """A file whose reads fail after the first few."""

    def __init__(self, data: bytes, reads: int, error: Exception) -> None:
        super().__init__(data)
        self.reads = reads
        self.error = error
        self.failed = False

    def read(self, size: int | None = -1) -> bytes:
        if self.reads == 0:
            self.failed = True
            raise self.error
        self.reads -= 1
        return super().read(size)


class TestKinds:
    @pytest.mark.parametrize("name", ["jpeg", "png", "webp"])
    def test_each_kind_of_picture_stands_upright_and_keeps_its_colours(self, name: str) -> None:
        kind = KINDS[name]
        (found,) = thumbnails(io.BytesIO(turned(90)), count=1, max_side=80, kind=kind)
        image = Image.open(io.BytesIO(found.still.content))
        assert image.format == name.upper()
        assert image.size == (found.still.width, found.still.height) == (45, 80)
        assert is_red(image.convert("RGB"), (40, 5))
        assert not is_red(image.convert("RGB"), (5, 5))

    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            (lambda: media.film(5), ("mp4", "h264", 25.0)),
            (lambda: media.film(5, kind="mov"), ("mov", "h264", 25.0)),
            (lambda: media.film(5, kind="3gp"), ("3gp", "h264", 25.0)),
            (lambda: media.film(5, kind="matroska"), ("matroska", "h264", 25.0)),
            (lambda: media.film(5, kind="webm", codec="libvpx-vp9"), ("webm", "vp9", 25.0)),
            (lambda: media.film(5, kind="avi", codec="mpeg4", rate=10), ("avi", "mpeg4", 10.0)),
            (media.sound, ("m4a", None, None)),
            (media.covered_sound, ("mp3", None, None)),
        ],
    )
    def test_tells_containers_apart_that_one_demuxer_reads(
        self, make: Callable[[], bytes], expected: tuple[str, str | None, float | None]
    ) -> None:
        found = probe(io.BytesIO(make()))
        assert (found.container, found.video_codec, found.frame_rate) == expected


class TestPoster:
    @pytest.mark.parametrize(
        ("asked", "at_ms"), [(None, 200), (0, 0), (1000, 1000), (1999, 1960), (60_000, 1960)]
    )
    def test_shows_the_moment_asked_for_or_the_end_and_else_a_tenth_in(
        self, asked: int | None, at_ms: int
    ) -> None:
        found = poster(io.BytesIO(media.film(50)), at_ms=asked, max_side=80)
        assert found.at_ms == at_ms
        assert media.number_shown(found.still.content) == at_ms // 40 % 16

    def test_sound_alone_gives_none(self) -> None:
        with pytest.raises(UnreadableMedia, match="sound but no moving pictures"):
            poster(io.BytesIO(media.sound()), max_side=80)
