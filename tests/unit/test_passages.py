"""Texts cut into passages: nothing lost, nothing over the limit, at the places a reader would choose."""

import random
import time
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from mediaq.pipelines.comprehend import SENTIMENT_BYTES, TEXT_BYTES
from mediaq.pipelines.passages import Passage, sample, split

# More white space, stops and marks than chance would give.
characters = some.sampled_from("aé。 \n\t.!?\r\u3000\u0301\u200d👩🇩") | some.characters(codec="utf-8")
texts = some.text(characters, max_size=400)
limits = some.integers(4, 60) | some.integers(4, 2_000)

# What a reader takes for one character, some of several code points.
CHARACTERS = (
    "a",
    "é",
    "e\u0301\u0323",
    "क्षि",
    "👩‍👩‍👧",
    "👍🏽",
    "🇩🇪",
    "🇫🇷",
    "\u1112\u1161\u11ab",
    "今",
    "☺\ufe0f",
)


def bills(text: str, passages: list[Passage]) -> int:
    """The units that all passages are billed, by the rule as AWS publishes it."""
    return sum(max(3, -(-len(passage.of(text)) // 100)) for passage in passages)


def prose(size: int, seed: int = 7, longest: int = 30) -> str:
    choose = random.Random(seed)  # noqa: S311 - not for secrets
    words = ["the", "house", "of", "Anna", "stands", "by", "a", "wonderful", "river", "today"]
    sentences = (
        " ".join(choose.choices(words, k=choose.randint(3, longest))) + choose.choice([". ", "! ", ".\n\n"])
        for _ in range(size // 10)
    )
    return "".join(sentences)[:size]


@given(texts, limits)
@example(" " * 100, 10)
@example("a\u0301\u0301\u0301\u0301\u0301\u0301", 4)
def test_passages_hold_all_of_a_text_but_white_space_in_order_and_within_the_limit(
    text: str, most: int
) -> None:
    passages = split(text, most)
    ends = [0, *(end for passage in passages for end in (passage.begin, passage.end)), len(text)]
    assert ends == sorted(ends)
    left_out = "".join(text[end:begin] for end, begin in zip(ends[::2], ends[1::2], strict=True))
    assert left_out.strip() == ""
    for passage in passages:
        assert 0 < len(passage.of(text).encode()) <= most
        assert passage.of(text).strip()
        assert passage.length == len(passage.of(text))


@given(texts.filter(str.strip))
def test_a_text_that_fits_is_one_passage(text: str) -> None:
    assert split(text, max(4, len(text.encode()))) == [Passage(0, len(text))]


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000" * 10_000])
def test_a_text_of_nothing_has_no_passages(text: str) -> None:
    assert split(text, SENTIMENT_BYTES) == []


def test_stretches_of_white_space_are_left_out_and_offsets_stay_right() -> None:
    text = "Before.\n" + " " * 30_000 + "After."
    passages = split(text, SENTIMENT_BYTES)
    assert [passage.of(text).strip() for passage in passages] == ["Before.", "After."]


@pytest.mark.parametrize(
    "sentence",
    [
        "She was happy in 3.14 ways. ",
        'He said "what?" ',
        "Oh no… ",
        "今日は天気がよい。",
        "「すごい\uff01」",
        "هل أنت بخير؟ ",
        "वह खुश थी। ",
        "Նա ուրախ էր\u0589 ",
        "ደስ ብሏታል። ",
        "A heading\n\n",
    ],
)
@pytest.mark.parametrize("most", [SENTIMENT_BYTES, TEXT_BYTES])
def test_cuts_are_at_the_ends_of_sentences_in_any_script(sentence: str, most: int) -> None:
    text = sentence * (3 * most // len(sentence.encode()))
    passages = split(text, most)
    assert len(passages) > 2
    assert all(passage.begin % len(sentence) == 0 for passage in passages)


def test_a_sentence_end_is_better_than_the_end_of_a_line_and_that_than_white_space() -> None:
    words = "word " * 400
    for best, other in ((". ", "\n"), (". ", " "), ("\n", " ")):
        text = words + "here" + best + "word" + other + words * 10
        assert split(text, 3_000)[0].of(text).endswith("here" + best), (best, other)


def test_where_no_sentence_ends_cuts_are_at_white_space_and_else_anywhere() -> None:
    words = "wording " * 2_000
    assert all(passage.begin % 8 == 0 for passage in split(words, SENTIMENT_BYTES))
    letters = "x" * 12_000
    assert [passage.length for passage in split(letters, SENTIMENT_BYTES)] == [5_000, 5_000, 2_000]


def test_a_cut_that_is_free_to_fall_anywhere_wastes_nothing() -> None:
    emoji = "😀" * 3_000
    assert [passage.length for passage in split(emoji, SENTIMENT_BYTES)] == [1_200, 1_200, 600]


@pytest.mark.parametrize("character", [*CHARACTERS, "x\r\n"])
def test_no_character_is_cut_though_it_has_several_code_points(character: str) -> None:
    for before in range(12):
        text = "x" * before + character * 3_000
        passages = split(text, SENTIMENT_BYTES)
        assert len(passages) > 1 or len(character) == 1
        assert all((passage.begin - before) % len(character) == 0 for passage in passages[1:]), before


@given(some.lists(some.sampled_from(CHARACTERS), min_size=1, max_size=600), some.integers(150, 600))
def test_no_character_is_cut_beside_any_other(pieces: list[str], most: int) -> None:
    boundaries = {0, *accumulate(map(len, pieces))}
    assert {passage.begin for passage in split("".join(pieces), most)} <= boundaries


def test_a_character_without_end_is_cut_all_the_same() -> None:
    text = "a" + "\u0301" * 20_000
    assert "".join(passage.of(text) for passage in split(text, SENTIMENT_BYTES)) == text


@pytest.mark.parametrize("seed", range(5))
def test_cutting_costs_less_than_half_a_unit_a_passage(seed: int) -> None:
    """Cuts at the last sentence ends would waste half a unit each on the average."""
    text = prose(300_000, seed)
    passages = split(text, SENTIMENT_BYTES)
    assert len(passages) < 1.1 * len(text) / SENTIMENT_BYTES
    assert bills(text, passages) - len(text) // 100 < 0.25 * len(passages)


@given(some.integers(5_001, 5_700), some.integers(1, 5))
def test_a_short_rest_is_filled_up_to_what_the_least_charge_pays_for(size: int, seed: int) -> None:
    text = prose(size, seed, longest=8)
    first, second = split(text, SENTIMENT_BYTES)
    assert second.length >= 300
    assert bills(text, [first, second]) <= -(-size // 100) + 1


@given(texts, limits)
def test_the_same_text_has_the_same_passages(text: str, most: int) -> None:
    assert split(text, most) == split(text, most)


def test_a_limit_that_cannot_hold_every_character_is_refused() -> None:
    with pytest.raises(ValueError, match="it takes 4"):
        split("😀", 3)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        ".",
        " ",
        "\n",
        "\n ",
        ". ",
        '"',
        '."',
        "。",
        "\uff01」",
        "今",
        "👩‍👩‍👧",
        "🇩🇪",
        "🇩🇪 ",
        "\u0301",
        " \u0301",
        "\r\n",
        "word ",
    ],
)
@pytest.mark.parametrize("most", [SENTIMENT_BYTES, TEXT_BYTES])
def test_five_megabytes_of_any_kind_take_little_time(piece: str, most: int) -> None:
    """Half a second at most where this was written; looking back from every character would take minutes."""
    text = piece * (5_000_000 // len(piece.encode()))
    began = time.process_time()
    split(text, most)
    assert time.process_time() - began < 5


class TestSample:
    @given(texts)
    def test_it_costs_no_more_than_the_least_charge(self, text: str) -> None:
        assert len(sample(text)) <= 300
        assert bool(sample(text)) == bool(text.strip())

    def test_a_short_text_is_its_own_sample(self) -> None:
        assert sample(" How are you?\n") == "How are you?"

    def test_a_long_text_is_looked_at_in_three_places(self) -> None:
        text = " " * 500 + "Lizenz " * 200 + "m" * 100_000 + "z" * 2_000 + "\n" * 500
        first, middle, last = sample(text).split("\n")
        assert first.startswith("Lizenz Lizenz")
        assert (set(middle), set(last)) == ({"m"}, {"z"})

    def test_it_is_not_blank_where_the_middle_of_the_text_is(self) -> None:
        text = "Begin" + " " * 10_000 + "end"
        assert sample(text).startswith("Begin")
        assert sample(text).endswith("end")
