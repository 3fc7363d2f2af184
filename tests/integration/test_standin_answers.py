"""What the stand-in answers: in the shapes of the service models, and from the content."""

import base64
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from standin_kit import Aws, Server, labelled, transcribed
from standin_media import film, picture, recording

pytest_plugins = ["standin_fixtures"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Anna Schmidt of Berlin was very happy: the new bridge opened on 3 May 2024 and cost €120."
SCALARS = {"string": str, "integer": int, "long": int, "float": float, "boolean": bool, "timestamp": datetime}

Request = Callable[[Server, Aws], Awaitable[dict[str, Any]]]


def faults_of(value: Any, shape: Any, path: str = "answer") -> list[str]:
    """Compare an answer with its output shape; returns what is wrong."""
    if shape.type_name == "structure":
        if not isinstance(value, dict):
            return [f"{path} is no structure"]
        unknown = [f"{path}.{name} is unknown" for name in value if name not in shape.members]
        missing = [f"{path}.{name} is missing" for name in shape.required_members if name not in value]
        known = [(name, member) for name, member in shape.members.items() if name in value]
        below = [
            wrong for name, member in known for wrong in faults_of(value[name], member, f"{path}.{name}")
        ]
        return unknown + missing + below
    if shape.type_name == "list":
        if not isinstance(value, list):
            return [f"{path} is no list"]
        return [
            wrong for i, item in enumerate(value) for wrong in faults_of(item, shape.member, f"{path}[{i}]")
        ]
    choices = getattr(shape, "enum", None)
    if not isinstance(value, SCALARS[shape.type_name]):
        return [f"{path} is no {shape.type_name}: {value!r}"]
    return [f"{path} is none of the choices: {value}"] if choices and value not in choices else []


async def image(server: Server, aws: Aws, operation: str) -> dict[str, Any]:
    place = server.put("image.png", picture("peru", text="Hello there"))
    return await aws.call("rekognition", operation, Image=place)


async def video(server: Server, aws: Aws, **request: Any) -> dict[str, Any]:
    place = server.put("film.mp4", film("red", "blue"))
    started = await aws.call("rekognition", "start_label_detection", Video=place, JobTag="a-tag")
    return await labelled(aws, started["JobId"], **request)


async def speech(server: Server, aws: Aws, **request: Any) -> dict[str, Any]:
    server.put("talk.wav", recording(says="Good morning, everybody."))
    name = server.bucket
    request = request or {"LanguageCode": "en-GB"}
    media = {"MediaFileUri": f"s3://{server.bucket}/talk.wav"}
    await aws.call("transcribe", "start_transcription_job", TranscriptionJobName=name, Media=media, **request)
    return {"TranscriptionJob": await transcribed(aws, name)}


async def start_video(server: Server, aws: Aws) -> dict[str, Any]:
    place = server.put("film.mp4", film("red"))
    answer = await aws.call("rekognition", "start_label_detection", Video=place)
    await labelled(aws, answer["JobId"])
    return answer


async def start_speech(server: Server, aws: Aws) -> dict[str, Any]:
    server.put("talk.wav", recording())
    media = {"MediaFileUri": f"s3://{server.bucket}/talk.wav"}
    request = {"TranscriptionJobName": server.bucket, "Media": media, "IdentifyLanguage": True}
    answer = await aws.call("transcribe", "start_transcription_job", **request)
    await transcribed(aws, server.bucket)
    return answer


async def text(_: Server, aws: Aws, operation: str) -> dict[str, Any]:
    request = {} if operation == "detect_dominant_language" else {"LanguageCode": "en"}
    return await aws.call("comprehend", operation, Text=TEXT, **request)


CASES: list[tuple[str, str, Request]] = [
    ("rekognition", "DetectLabels", lambda s, a: image(s, a, "detect_labels")),
    ("rekognition", "DetectText", lambda s, a: image(s, a, "detect_text")),
    ("rekognition", "DetectFaces", lambda s, a: image(s, a, "detect_faces")),
    ("rekognition", "DetectModerationLabels", lambda s, a: image(s, a, "detect_moderation_labels")),
    ("rekognition", "StartLabelDetection", start_video),
    ("rekognition", "GetLabelDetection", video),
    ("rekognition", "GetLabelDetection", lambda s, a: video(s, a, AggregateBy="SEGMENTS", SortBy="NAME")),
    ("transcribe", "StartTranscriptionJob", start_speech),
    ("transcribe", "GetTranscriptionJob", speech),
    ("transcribe", "GetTranscriptionJob", lambda s, a: speech(s, a, IdentifyLanguage=True)),
    ("comprehend", "DetectSentiment", lambda s, a: text(s, a, "detect_sentiment")),
    ("comprehend", "DetectEntities", lambda s, a: text(s, a, "detect_entities")),
    ("comprehend", "DetectKeyPhrases", lambda s, a: text(s, a, "detect_key_phrases")),
    ("comprehend", "DetectDominantLanguage", lambda s, a: text(s, a, "detect_dominant_language")),
]


@pytest.mark.parametrize(("service", "operation", "ask"), CASES)
async def test_answers_have_the_shape_of_the_service_model(
    server: Server, aws: Aws, service: str, operation: str, ask: Request
) -> None:
    answer = await ask(server, aws)
    answer.pop("ResponseMetadata", None)
    client = await aws.client(service)
    shape = client.meta.service_model.operation_model(operation).output_shape
    # An answer of nothing has the right shape too.
    assert all(value not in ([], {}) for name, value in answer.items() if name != "ContentTypes"), answer
    assert faults_of(answer, shape) == []


async def test_answers_carry_nothing_that_the_service_model_does_not_know(server: Server, aws: Aws) -> None:
    """botocore drops unknown members, so this looks at the JSON itself."""
    place = server.put("image.png", picture("peru", text="Hello there"))
    client = await aws.client("rekognition")
    for operation in ("DetectLabels", "DetectText", "DetectFaces", "DetectModerationLabels"):
        headers = {"x-amz-target": f"RekognitionService.{operation}"}
        answer = await server.send("POST", "/", json={"Image": place}, headers=headers)
        assert answer.headers["content-type"] == "application/x-amz-json-1.1"
        shape = client.meta.service_model.operation_model(operation).output_shape
        assert faults_of(answer.json(), shape) == []


async def test_labels_name_the_colours_and_the_orientation(server: Server, aws: Aws) -> None:
    red = await aws.call("rekognition", "detect_labels", Image={"Bytes": picture("red")})
    blue = await aws.call(
        "rekognition", "detect_labels", Image={"Bytes": picture("navy", (100, 200), "JPEG")}
    )
    assert {label["Name"] for label in red["Labels"]} == {"Red", "Landscape Orientation"}
    assert {label["Name"] for label in blue["Labels"]} == {"Blue", "Portrait Orientation", "Dark"}
    box = red["Labels"][0]["Instances"][0]["BoundingBox"] if red["Labels"][0]["Instances"] else None
    assert box in (None, {"Width": 1.0, "Height": 1.0, "Left": 0.0, "Top": 0.0})


async def test_labels_are_limited_and_filtered_as_asked(server: Server, aws: Aws) -> None:
    request = {"Image": {"Bytes": picture("red")}}
    one = await aws.call("rekognition", "detect_labels", MaxLabels=1, **request)
    assert len(one["Labels"]) == 1
    settings = {"GeneralLabels": {"LabelExclusionFilters": ["Red"]}}
    without = await aws.call("rekognition", "detect_labels", Settings=settings, **request)
    assert [label["Name"] for label in without["Labels"]] == ["Landscape Orientation"]
    none = await aws.call("rekognition", "detect_labels", MinConfidence=99.5, **request)
    assert none["Labels"] == []


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
async def test_text_is_what_the_file_declares(server: Server, aws: Aws, kind: str) -> None:
    data = picture("white", kind=kind, text="Mind the gap\nPlatform 9")
    answer = await aws.call("rekognition", "detect_text", Image={"Bytes": data})
    found = [(text["Type"], text["DetectedText"], text.get("ParentId")) for text in answer["TextDetections"]]
    assert found == [
        ("LINE", "Mind the gap", None),
        ("LINE", "Platform 9", None),
        *[("WORD", word, 0) for word in ("Mind", "the", "gap")],
        *[("WORD", word, 1) for word in ("Platform", "9")],
    ]
    assert [text["Id"] for text in answer["TextDetections"]] == list(range(7))
    nothing = await aws.call("rekognition", "detect_text", Image={"Bytes": picture("white")})
    assert nothing["TextDetections"] == []


async def test_text_is_filtered_by_size_and_place(server: Server, aws: Aws) -> None:
    data = picture("white", text="Mind the gap\nNow")
    for filters, words in (
        ({}, ["Mind", "the", "gap", "Now"]),
        ({"WordFilter": {"MinConfidence": 99.5}}, []),
        ({"WordFilter": {"MinBoundingBoxWidth": 0.5}}, ["Now"]),
        ({"RegionsOfInterest": [region(0, 0, 1, 0.5)]}, ["Mind", "the", "gap"]),
        ({"RegionsOfInterest": [region(0, 0, 0.3, 0.5), region(0, 0.5, 1, 0.5)]}, ["Mind", "Now"]),
    ):
        answer = await aws.call("rekognition", "detect_text", Image={"Bytes": data}, Filters=filters)
        found = answer["TextDetections"]
        assert [text["DetectedText"] for text in found if text["Type"] == "WORD"] == words
        lines = {text["Id"] for text in found if text["Type"] == "LINE"}
        assert lines == {text["ParentId"] for text in found if text["Type"] == "WORD"}


def region(left: float, top: float, width: float, height: float) -> dict[str, Any]:
    return {"BoundingBox": {"Left": left, "Top": top, "Width": width, "Height": height}}


@pytest.mark.parametrize(
    ("attributes", "told"),
    [(None, False), (["DEFAULT"], False), (["SMILE"], False), (["ALL"], True), (["FACE_OCCLUDED"], True)],
)
async def test_attributes_of_faces_are_told_as_asked(
    server: Server, aws: Aws, attributes: list[str] | None, told: bool
) -> None:
    asked = {"Attributes": attributes} if attributes else {}
    answer = await aws.call("rekognition", "detect_faces", Image={"Bytes": picture("peru")}, **asked)
    face = answer["FaceDetails"][0]
    assert {"BoundingBox", "Confidence", "Quality"} <= face.keys()
    assert face.get("FaceOccluded") == ({"Value": False, "Confidence": 100.0} if told else None)


async def test_faces_and_moderation_follow_skin_colour(server: Server, aws: Aws) -> None:
    for colour, faces, names in (
        ("peru", 1, ["Non-Explicit Nudity of Intimate parts and Kissing", "Non-Explicit Nudity"]),
        ("blue", 0, []),
        ("darkred", 0, ["Violence", "Graphic Violence", "Blood & Gore"]),
    ):
        place = {"Bytes": picture(colour)}
        assert len((await aws.call("rekognition", "detect_faces", Image=place))["FaceDetails"]) == faces
        answer = await aws.call("rekognition", "detect_moderation_labels", Image=place)
        assert [label["Name"] for label in answer["ModerationLabels"]] == names


@pytest.mark.parametrize(
    ("text", "mood"),
    [
        ("I love this wonderful, brilliant day!", "POSITIVE"),
        ("This is a terrible, awful disaster.", "NEGATIVE"),
        ("The train leaves at nine.", "NEUTRAL"),
        ("I love the food and I hate the service.", "MIXED"),
    ],
)
async def test_sentiment_follows_the_words(aws: Aws, text: str, mood: str) -> None:
    answer = await aws.call("comprehend", "detect_sentiment", Text=text, LanguageCode="en")
    assert answer["Sentiment"] == mood
    assert sum(answer["SentimentScore"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The weather was lovely and we walked along the river all day.", "en"),
        ("Das Wetter war schön und wir sind den ganzen Tag gewandert.", "de"),
        ("Il faisait beau et nous avons marché toute la journée.", "fr"),
        ("今日はとても天気がよかったので、川沿いを散歩しました。", "ja"),
        ("这是一个很好的地方。我们在这里学习中文。", "zh"),
        ("這是一個很好的地方。我們在這裡學習中文。", "zh-TW"),
        ("Bonjour!", "fr"),
    ],
)
async def test_language_is_told(aws: Aws, text: str, code: str) -> None:
    answer = await aws.call("comprehend", "detect_dominant_language", Text=text)
    assert answer["Languages"][0]["LanguageCode"] == code


async def test_offsets_count_code_points(aws: Aws) -> None:
    """An emoji outside the basic plane is one character, as Comprehend counts."""
    text = "😀 naïve Anna Schmidt lives in Berlin since 2024-05-03."
    entities = await aws.call("comprehend", "detect_entities", Text=text, LanguageCode="en")
    phrases = await aws.call("comprehend", "detect_key_phrases", Text=text, LanguageCode="en")
    found = entities["Entities"] + phrases["KeyPhrases"]
    assert [text[span["BeginOffset"] : span["EndOffset"]] for span in found] == [
        span["Text"] for span in found
    ]
    assert [(entity["Type"], entity["Text"]) for entity in entities["Entities"]] == [
        ("PERSON", "Anna Schmidt"),
        ("LOCATION", "Berlin"),
        ("DATE", "2024-05-03"),
    ]


async def test_video_labels_follow_the_frames(server: Server, aws: Aws) -> None:
    answer = await video(server, aws)
    metadata = answer["VideoMetadata"]
    assert metadata["DurationMillis"] == 2000
    assert (metadata["Codec"], metadata["FrameWidth"], metadata["FrameHeight"]) == ("h264", 128, 96)
    assert metadata["FrameRate"] == 10
    seen = [(label["Timestamp"], label["Label"]["Name"]) for label in answer["Labels"]]
    assert [pair for pair in seen if pair[1] in ("Red", "Blue")] == [
        (0, "Red"),
        (500, "Red"),
        (1000, "Blue"),
        (1500, "Blue"),
    ]
    segments = await video(server, aws, AggregateBy="SEGMENTS")
    spans = {
        label["Label"]["Name"]: (label["StartTimestampMillis"], label["EndTimestampMillis"])
        for label in segments["Labels"]
    }
    assert (spans["Red"], spans["Blue"]) == ((0, 500), (1000, 1500))


async def test_transcript_has_the_declared_words_in_the_layout_of_transcribe(
    server: Server, aws: Aws
) -> None:
    request = {"OutputBucketName": server.bucket, "OutputKey": "out/", "LanguageCode": "en-GB"}
    job = (await speech(server, aws, **request))["TranscriptionJob"]
    key = f"out/{server.bucket}.json"
    assert job["Transcript"]["TranscriptFileUri"] == f"{server.s3_url}/{server.bucket}/{key}"
    body = (await aws.call("s3", "get_object", Bucket=server.bucket, Key=key))["Body"]
    async with body as stream:
        document = json.loads(await stream.read())
    assert (document["jobName"], document["status"]) == (server.bucket, "COMPLETED")
    assert document["results"]["transcripts"] == [{"transcript": "Good morning, everybody."}]
    items = [(item["type"], item["alternatives"][0]["content"]) for item in document["results"]["items"]]
    assert items == [
        ("pronunciation", "Good"),
        ("pronunciation", "morning"),
        ("punctuation", ","),
        ("pronunciation", "everybody"),
        ("punctuation", "."),
    ]
    assert document["results"]["items"][0]["start_time"] == "0.000"
    assert document["results"]["items"][3]["end_time"] == "2.000"
    assert job["MediaSampleRateHertz"] == 16_000
    assert "language_code" not in document["results"]


@pytest.mark.parametrize(
    ("loudness", "transcript"), [(0.8, "Loud sound."), (0.02, "Quiet sound."), (0.0, "")]
)
async def test_without_words_the_transcript_tells_the_loudness(
    server: Server, aws: Aws, loudness: float, transcript: str
) -> None:
    server.put("tone.wav", recording(1.5, loudness=loudness))
    media = {"MediaFileUri": f"s3://{server.bucket}/tone.wav"}
    request = {"TranscriptionJobName": server.bucket, "Media": media, "LanguageCode": "en-US"}
    await aws.call("transcribe", "start_transcription_job", **request)
    job = await transcribed(aws, server.bucket)
    document = server.http.get(job["Transcript"]["TranscriptFileUri"]).json()
    assert document["results"]["transcripts"] == [{"transcript": transcript}]


async def test_language_of_speech_is_identified_among_the_options(server: Server, aws: Aws) -> None:
    server.put("talk.flac", recording(says="Guten Morgen, wie geht es Ihnen heute?", kind="flac"))
    request = {
        "TranscriptionJobName": server.bucket,
        "Media": {"MediaFileUri": f"{server.s3_url}/{server.bucket}/talk.flac"},
        "IdentifyLanguage": True,
        "LanguageOptions": ["en-GB", "de-CH"],
    }
    await aws.call("transcribe", "start_transcription_job", **request)
    job = await transcribed(aws, server.bucket)
    assert job["LanguageCode"] == "de-CH"
    assert 0 < job["IdentifiedLanguageScore"] <= 1


async def invoke(aws: Aws, model: str, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    answer = await aws.call("bedrock-runtime", "invoke_model", modelId=model, body=json.dumps(body))
    async with answer["body"] as stream:
        return json.loads(await stream.read()), answer["ResponseMetadata"]["HTTPHeaders"]


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("dimensions", [1024, 512, 256])
async def test_titan_text_is_deterministic_and_puts_like_texts_near(aws: Aws, dimensions: int) -> None:
    texts = ["A cat sleeps on the sofa", "The cat slept on a sofa", "Interest rates rose sharply in March"]
    vectors = []
    for text in texts:
        body = {"inputText": text, "dimensions": dimensions}
        first, headers = await invoke(aws, "amazon.titan-embed-text-v2:0", body)
        second, _ = await invoke(aws, "amazon.titan-embed-text-v2:0", body)
        assert first == second
        assert headers["x-amzn-bedrock-input-token-count"] == str(first["inputTextTokenCount"])
        assert len(first["embedding"]) == dimensions
        assert cosine(first["embedding"], first["embedding"]) == pytest.approx(1, abs=1e-5)
        vectors.append(first["embedding"])
    assert cosine(vectors[0], vectors[1]) > 0.5 > cosine(vectors[0], vectors[2]) + 0.2


async def test_titan_text_leaves_the_length_alone_when_asked(aws: Aws) -> None:
    body = {"inputText": "one two three four", "normalize": False}
    answer, _ = await invoke(aws, "amazon.titan-embed-text-v2:0", body)
    assert cosine(answer["embedding"], answer["embedding"]) > 2


@pytest.mark.parametrize("dimensions", [1024, 384, 256])
async def test_titan_image_embeds_images_and_texts(aws: Aws, dimensions: int) -> None:
    config = {"embeddingConfig": {"outputEmbeddingLength": dimensions}}
    red, crimson, blue = (base64.b64encode(picture(c)).decode() for c in ("red", "crimson", "blue"))
    model = "amazon.titan-embed-image-v1"
    vectors = [
        (await invoke(aws, model, {"inputImage": i, **config}))[0]["embedding"] for i in (red, crimson, blue)
    ]
    assert {len(vector) for vector in vectors} == {dimensions}
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2])
    both, _ = await invoke(aws, model, {"inputImage": red, "inputText": "a red wall", **config})
    assert both["inputTextTokenCount"] == 3
    assert both["embedding"] != vectors[0]


async def test_a_model_may_be_named_by_its_arn(aws: Aws) -> None:
    model = "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0"
    answer, _ = await invoke(aws, model, {"inputText": "hello"})
    assert answer["inputTextTokenCount"] == 1


@pytest.mark.parametrize(
    ("model", "dimensions"), [("text-embedding-3-small", 1536), ("text-embedding-3-large", 3072)]
)
async def test_openai_embeds_one_text_or_several(server: Server, model: str, dimensions: int) -> None:
    one = await server.openai(model=model, input="hello")
    two = await server.openai(model=model, input=["hello", "you"])
    assert [item["index"] for item in two["data"]] == [0, 1]
    assert two["data"][0] == one["data"][0]
    assert len(one["data"][0]["embedding"]) == dimensions
    assert (one["usage"]["prompt_tokens"], two["usage"]["prompt_tokens"]) == (1, 2)
    packed = await server.openai(model=model, input="hello", encoding_format="base64", dimensions=8)
    assert len(base64.b64decode(packed["data"][0]["embedding"])) == 8 * 4


@pytest.mark.parametrize("language", ["english", "multilingual"])
async def test_cohere_embeds_texts_and_counts_their_tokens_in_a_header(
    server: Server, aws: Aws, language: str
) -> None:
    texts = ["A cat sleeps on the sofa", "The cat slept on a sofa", "Interest rates rose sharply in March"]
    body = {"texts": texts, "input_type": "search_document"}
    answer, headers = await invoke(aws, f"cohere.embed-{language}-v3", body)
    assert answer.pop("id")
    one, two, three = answer.pop("embeddings")
    assert answer == {"texts": texts, "response_type": "embeddings_floats"}
    assert len(one) == 1024
    assert cosine(one, two) > 0.5 > cosine(one, three) + 0.2
    tokens = headers["x-amzn-bedrock-input-token-count"]
    assert server.bill() == [
        (f"bedrock.cohere-embed-{language}-v3.tokens", f"{int(tokens) / 1000:g}", "1K tokens")
    ]


async def test_cohere_leaves_out_the_start_or_the_end_of_what_is_too_long(server: Server, aws: Aws) -> None:
    kept, vectors = "a " * 512, []
    for text, truncate in (("dog " + kept, "START"), (kept + "dog", "END"), (kept, "NONE")):
        body = {"texts": [text], "input_type": "search_query", "truncate": truncate}
        answer, headers = await invoke(aws, "cohere.embed-english-v3", body)
        vectors += answer["embeddings"]
        assert headers["x-amzn-bedrock-input-token-count"] == "512"
    assert vectors[0] == vectors[1] == vectors[2]
    assert {call["units"] for call in server.calls(billed="true")} == {"0.512"}
