"""What Comprehend takes and how it counts: sizes, languages and units, each with its source."""

from __future__ import annotations

from attrs import frozen

# AWS: 5 KB for sentiment and 100 KB for the others (Developer Guide, "Guidelines and quotas"). The service
# counts in thousands, of UTF-8: "Max length of request text allowed is 5000 bytes", and 100000.
SENTIMENT_BYTES = 5_000
TEXT_BYTES = 100_000

# AWS: Developer Guide, "Languages supported in Amazon Comprehend", and LanguageCode in the service model.
# Each of the three operations that are told a language supports all of them.
LANGUAGES = ("ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "pt", "zh", "zh-TW")

# AWS: Amazon Comprehend pricing: units of 100 characters, at least three units a request.
UNIT_CHARACTERS = 100
LEAST_UNITS = 3
LEAST_CHARACTERS = LEAST_UNITS * UNIT_CHARACTERS


@frozen
class Reading:
    """What Comprehend reads in a text.

    Args:
        method: The client's method.
        most: Bytes of UTF-8 that one request may have.
        answers: What of an answer tells what was read.
        languages: The language codes it supports; none where it is told no language.
    """

    method: str
    most: int
    answers: tuple[str, ...]
    languages: tuple[str, ...] = LANGUAGES

    @property
    def item(self) -> str:
        """The line of the price list."""
        return "comprehend." + self.method.replace("_", "-")


# By the names of mediaq's operations.
READINGS = {
    "detectLanguage": Reading("detect_dominant_language", TEXT_BYTES, ("Languages",), languages=()),
    "detectSentiment": Reading("detect_sentiment", SENTIMENT_BYTES, ("Sentiment", "SentimentScore")),
    "detectEntities": Reading("detect_entities", TEXT_BYTES, ("Entities",)),
    "detectKeyPhrases": Reading("detect_key_phrases", TEXT_BYTES, ("KeyPhrases",)),
}
