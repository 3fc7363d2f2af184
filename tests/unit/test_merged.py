"""Answers about passages made one about the whole: as Comprehend would have answered, had it read it all."""

import random
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mediaq.pipelines import merged
from mediaq.pipelines.passages import Passage, split

Parts = list[tuple[Passage, Mapping[str, Any]]]

shares = some.lists(some.floats(0, 1), min_size=4, max_size=4).filter(any)


def shared(scores: list[float]) -> list[float]:
    return [score / sum(scores) for score in scores]


def mood(sentiment: str, *scores: float) -> dict[str, Any]:
    names = ("Positive", "Negative", "Neutral", "Mixed")
    return {"Sentiment": sentiment, "SentimentScore": dict(zip(names, scores, strict=True))}


def tongues(**scores: float) -> dict[str, Any]:
    return {"Languages": [{"LanguageCode": code, "Score": score} for code, score in scores.items()]}


def parts(*answers: tuple[int, Mapping[str, Any]]) -> Parts:
    """Answers about passages of these lengths, one after the other."""
    found: Parts = []
    for length, answer in answers:
        begin = found[-1][0].end if found else 0
        found.append((Passage(begin, begin + length), answer))
    return found


def test_one_answer_comes_out_as_it_went_in() -> None:
    """Even where its sentiment is not the one that scores highest, or its scores are in no order."""
    answer = mood("MIXED", 0.5, 0.1, 0.1, 0.3)
    assert merged.sentiment(parts((7, answer))) == answer
    found = tongues(de=0.1, en=0.8)
    assert merged.languages(parts((7, found))) == found["Languages"]
    entities = {"Entities": [{"Type": "DATE", "Score": 0.9, "Text": "May", "BeginOffset": 2, "EndOffset": 5}]}
    assert merged.spans(parts((7, entities)), "Entities") == entities["Entities"]


def test_what_comprehend_says_besides_its_answer_is_left_out() -> None:
    answer = {**mood("POSITIVE", 1, 0, 0, 0), "ResponseMetadata": {}}
    assert merged.sentiment(parts((7, answer))) == mood("POSITIVE", 1, 0, 0, 0)
    assert merged.sentiment(parts((7, answer), (7, answer))) == mood("POSITIVE", 1, 0, 0, 0)


def test_sentiment_is_weighed_by_length() -> None:
    long, short = (3_000, mood("NEGATIVE", 0.1, 0.7, 0.2, 0)), (1_000, mood("POSITIVE", 0.9, 0, 0.1, 0))
    found = merged.sentiment(parts(long, short))
    assert found["Sentiment"] == "NEGATIVE"
    assert found["SentimentScore"] == pytest.approx(
        {"Positive": 0.3, "Negative": 0.525, "Neutral": 0.175, "Mixed": 0}
    )


def test_of_equal_sentiments_the_same_one_is_named_in_any_order() -> None:
    glad, sad = (10, mood("POSITIVE", 1, 0, 0, 0)), (10, mood("NEGATIVE", 0, 1, 0, 0))
    assert merged.sentiment(parts(glad, sad))["Sentiment"] == "POSITIVE"
    assert merged.sentiment(parts(sad, glad))["Sentiment"] == "POSITIVE"


def test_mixed_is_a_sentiment_like_the_others() -> None:
    mixed = (10, mood("MIXED", 0.1, 0.1, 0.1, 0.7))
    assert merged.sentiment(parts(mixed, mixed, (10, mood("POSITIVE", 1, 0, 0, 0))))["Sentiment"] == "MIXED"


@given(some.lists(some.tuples(some.integers(1, 5_000), shares), min_size=2, max_size=20))
def test_scores_of_the_whole_are_shares_and_lie_between_those_of_the_passages(
    given: list[tuple[int, list[float]]],
) -> None:
    answers = [(length, mood("NEUTRAL", *shared(scores))) for length, scores in given]
    found = merged.sentiment(parts(*answers))
    assert sum(found["SentimentScore"].values()) == pytest.approx(1)
    for name, score in found["SentimentScore"].items():
        each = [answer["SentimentScore"][name] for _, answer in answers]
        assert min(each) - 1e-9 <= score <= max(each) + 1e-9
    best = max(found["SentimentScore"].values())
    assert found["SentimentScore"][found["Sentiment"].title()] == best


@given(some.text(some.sampled_from("ab .\n😀é今"), max_size=500), some.integers(4, 40))
def test_what_is_found_in_passages_is_where_it_says_in_the_whole(text: str, most: int) -> None:
    answers: Parts = []
    for passage in split(text, most):
        piece = passage.of(text)
        words = [
            {"Score": 0.9, "Text": character, "BeginOffset": at, "EndOffset": at + 1}
            for at, character in enumerate(piece)
            if character.strip()
        ]
        answers.append((passage, {"KeyPhrases": words}))
    found = merged.spans(answers, "KeyPhrases")
    assert all(text[span["BeginOffset"] : span["EndOffset"]] == span["Text"] for span in found)
    assert "".join(span["Text"] for span in found) == "".join(text.split())


def test_the_same_phrase_in_two_passages_is_told_twice_and_the_answers_stay_as_they_were() -> None:
    anna = {"Text": "Anna", "BeginOffset": 0, "EndOffset": 4, "Type": "PERSON", "Score": 0.9}
    answer = {"Entities": [anna]}
    found = merged.spans(parts((10, answer), (10, answer)), "Entities")
    assert [(span["Text"], span["BeginOffset"], span["EndOffset"]) for span in found] == [
        ("Anna", 0, 4),
        ("Anna", 10, 14),
    ]
    assert anna["BeginOffset"] == 0
    assert set(found[1]) == set(anna)


def test_languages_are_weighed_by_length_and_the_best_comes_first() -> None:
    found = merged.languages(parts((100, tongues(de=0.9)), (300, tongues(en=0.8, de=0.1, nl=0.1))))
    assert [language["LanguageCode"] for language in found] == ["en", "de", "nl"]
    assert [language["Score"] for language in found] == pytest.approx([0.6, 0.3, 0.075])


def test_equal_languages_come_in_the_order_of_their_codes() -> None:
    found = merged.languages(parts((100, tongues(fr=0.9)), (100, tongues(en=0.9))))
    assert [language["LanguageCode"] for language in found] == ["en", "fr"]


def test_where_no_passage_has_a_language_the_whole_has_none() -> None:
    assert merged.languages(parts((100, tongues()), (100, tongues()))) == []


@given(some.lists(some.tuples(some.integers(1, 100_000), shares), min_size=2, max_size=20))
def test_languages_scores_add_up_to_one_at_most(given: list[tuple[int, list[float]]]) -> None:
    answers = [
        (length, tongues(**dict(zip(("de", "en", "fr", "it"), shared(scores), strict=True))))
        for length, scores in given
    ]
    found = merged.languages(parts(*answers))
    scores = [language["Score"] for language in found]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) <= 1 + 1e-9


def test_many_answers_take_little_time() -> None:
    """As of a text of 10 MB, in 2,000 passages with a million phrases."""
    choose = random.Random(7)  # noqa: S311 - not for secrets
    codes = [f"c{number}" for number in range(100)]
    span = {"Score": 0.9, "Text": "river", "BeginOffset": 0, "EndOffset": 5}
    answer = {
        **mood("POSITIVE", 1, 0, 0, 0),
        **tongues(**dict.fromkeys(codes, 0.01)),
        "KeyPhrases": [span] * 500,
    }
    answers = parts(*((choose.randint(1, 5_000), answer) for _ in range(2_000)))
    began = time.process_time()
    merged.sentiment(answers)
    merged.languages(answers)
    assert len(merged.spans(answers, "KeyPhrases")) == 1_000_000
    assert time.process_time() - began < 5
