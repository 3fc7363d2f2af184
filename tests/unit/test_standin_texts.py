"""The stand-in's rules for entities and key phrases, and their cost."""

import time
from itertools import pairwise

import pytest

from mediaq.embedded.standin.texts import entities, key_phrases


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Meet on 3 May 2024 or May 5, 2024.", [("DATE", "3 May 2024"), ("DATE", "May 5, 2024")]),
        ("See you tomorrow or on Friday.", [("DATE", "tomorrow"), ("DATE", "Friday")]),
        ("It cost $1,200.50, 20% less.", [("QUANTITY", "$1,200.50"), ("QUANTITY", "20%")]),
        ("She ran 10 km in 52 minutes.", [("QUANTITY", "10 km"), ("QUANTITY", "52 minutes")]),
        ("Write to ann@example.org.", [("OTHER", "ann@example.org")]),
        ("Acme Widgets Ltd moved to Paris.", [("ORGANIZATION", "Acme Widgets Ltd"), ("LOCATION", "Paris")]),
        ("Dr. Jane Doe met Émile Zola.", [("PERSON", "Dr. Jane Doe"), ("PERSON", "Émile Zola")]),
        ("nothing to be found here", []),
    ],
)
def test_entities_are_found_and_told_apart(text: str, found: list[tuple[str, str]]) -> None:
    assert [(span.kind, span.text) for span in entities(text)] == found


def test_no_two_entities_share_a_character() -> None:
    spans = entities("On 3 May 2024 Dr. Jane Doe of Acme Ltd paid $12 in New York for 3 years.")
    assert len(spans) >= 5
    assert all(one.end <= other.begin for one, other in pairwise(spans))


def test_key_phrases_are_the_words_between_stop_words() -> None:
    phrases = key_phrases("The quick brown fox jumps over the lazy dog, and it's happy.")
    assert [span.text for span in phrases] == ["quick brown fox jumps", "lazy dog", "it's happy"]


@pytest.mark.parametrize(
    "piece", ["a", "A", "Aa ", "1.", "1,", "a@", "a.", "$1", "http://a ", "Mr ", "é", "Aa & ", "1 ", "'a"]
)
def test_the_longest_text_of_any_kind_takes_little_time(piece: str) -> None:
    """The service takes 100,000 bytes; patterns that backtrack would take minutes."""
    text = piece * (100_000 // len(piece))
    began = time.process_time()
    entities(text)
    key_phrases(text)
    assert time.process_time() - began < 5
