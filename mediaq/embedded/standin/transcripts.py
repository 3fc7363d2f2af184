"""The transcript document in Transcribe's layout, and the language of a recording."""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import frozen

from mediaq.embedded.standin.speech import Recording, Word, joined
from mediaq.embedded.standin.texts import Reader

# Amazon Transcribe API reference, the values of LanguageCode.
LANGUAGE_CODES_TEXT = """
af-ZA ar-AE ar-SA da-DK de-CH de-DE en-AB en-AU en-GB en-IE en-IN en-US en-WL es-ES es-US fa-IR fr-CA
fr-FR he-IL hi-IN id-ID it-IT ja-JP ko-KR ms-MY nl-NL pt-BR pt-PT ru-RU ta-IN te-IN tr-TR zh-CN zh-TW
th-TH en-ZA en-NZ vi-VN sv-SE ab-GE ast-ES az-AZ ba-RU be-BY bg-BG bn-IN bs-BA ca-ES ckb-IQ ckb-IR cs-CZ
cy-WL el-GR et-EE et-ET eu-ES fi-FI gl-ES gu-IN ha-NG hr-HR hu-HU hy-AM is-IS ka-GE kab-DZ kk-KZ kn-IN
ky-KG lg-IN lt-LT lv-LV mhr-RU mi-NZ mk-MK ml-IN mn-MN mr-IN mt-MT no-NO or-IN pa-IN pl-PL ps-AF ro-RO
rw-RW si-LK sk-SK sl-SI so-SO sr-RS su-ID sw-BI sw-KE sw-RW sw-TZ sw-UG tl-PH tt-RU ug-CN uk-UA uz-UZ
wo-SN zh-HK zu-ZA
"""
LANGUAGE_CODES = tuple(LANGUAGE_CODES_TEXT.split())
# What a bare language code stands for where several regions have it; of the others the first listed counts.
MAIN_REGIONS = {"ar": "ar-SA", "de": "de-DE", "en": "en-US", "es": "es-US", "fr": "fr-FR", "pt": "pt-BR"}
DEFAULT_LANGUAGE = "en-US"
ACCOUNT = "000000000000"
CONFIDENCE = "0.99"
SENTENCE_ENDS = (".", "!", "?")


@frozen
class Language:
    """A language code, and how sure it is; None where the caller named it."""

    code: str
    score: float | None = None


def identify(reader: Reader, text: str, request: dict[str, Any]) -> Language:
    """Return the language that the request names, or else the likeliest of those it allows."""
    if named := request.get("LanguageCode"):
        return Language(named)
    allowed: list[str] = request.get("LanguageOptions") or list(LANGUAGE_CODES)
    for code, score in reader.languages(text) if text else ():
        regions = [option for option in allowed if option.partition("-")[0] == code]
        if regions:
            main = MAIN_REGIONS.get(code, regions[0])
            return Language(main if main in regions else regions[0], score)
    return Language(DEFAULT_LANGUAGE if DEFAULT_LANGUAGE in allowed else allowed[0], 0.0)


def document(name: str, recording: Recording, language: Language) -> bytes:
    """Return the transcript as JSON."""
    items = [_item(number, word) for number, word in enumerate(recording.words)]
    results: dict[str, Any] = {
        "transcripts": [{"transcript": recording.text}],
        "items": items,
        "audio_segments": _segments(recording),
    }
    if language.score is not None:
        results["language_code"] = language.code
        results["language_identification"] = [{"score": f"{language.score:.4f}", "code": language.code}]
    return msgspec.json.encode(
        {"jobName": name, "accountId": ACCOUNT, "status": "COMPLETED", "results": results}
    )


def _item(number: int, word: Word) -> dict[str, Any]:
    if word.end is None:
        mark = {"confidence": "0.0", "content": word.text}
        return {"id": number, "type": "punctuation", "alternatives": [mark]}
    return {
        "id": number,
        "type": "pronunciation",
        "alternatives": [{"confidence": CONFIDENCE, "content": word.text}],
        "start_time": f"{word.start:.3f}",
        "end_time": f"{word.end:.3f}",
    }


def _segments(recording: Recording) -> list[dict[str, Any]]:
    """A segment a sentence; the service also ends one at a pause."""
    segments: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, word in enumerate(recording.words):
        numbers.append(number)
        if word.text in SENTENCE_ENDS or number == len(recording.words) - 1:
            segments.append(_segment(len(segments), numbers, recording.words))
            numbers = []
    return segments


def _segment(number: int, items: list[int], words: list[Word]) -> dict[str, Any]:
    said = [words[item] for item in items]
    return {
        "id": number,
        "transcript": joined(said),
        "start_time": f"{said[0].start:.3f}",
        "end_time": f"{max(word.end or 0.0 for word in said):.3f}",
        "items": items,
    }
