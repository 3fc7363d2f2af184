"""How many calls per second AWS grants an account by default, by operation and region.

From the Service Quotas pages of Rekognition, Comprehend and Transcribe (2026-11). Bedrock's and OpenAI's
differ from account to account: theirs are those of an account that has been in use for a while.
"""

from __future__ import annotations

from collections.abc import Mapping

# Rekognition grants more here than elsewhere.
MAIN_REGIONS = frozenset({"us-east-1", "us-west-2", "eu-west-1"})

# Calls per second in those regions, and elsewhere. Bedrock counts each model for itself.
CALLS: Mapping[str, tuple[float, float]] = {
    "rekognition.DetectLabels": (50, 5),
    "rekognition.DetectText": (50, 5),
    "rekognition.DetectFaces": (100, 25),
    "rekognition.DetectModerationLabels": (50, 5),
    "rekognition.StartLabelDetection": (5, 5),
    "rekognition.GetLabelDetection": (20, 5),
    "transcribe.StartTranscriptionJob": (10, 10),
    "transcribe.GetTranscriptionJob": (20, 20),
    "comprehend.DetectDominantLanguage": (20, 20),
    "comprehend.DetectSentiment": (20, 20),
    "comprehend.DetectEntities": (20, 20),
    "comprehend.DetectKeyPhrases": (20, 20),
    "bedrock.InvokeModel": (33, 33),
    "openai.CreateEmbedding": (50, 50),
}
# What an operation is granted that has no line above.
OTHER_CALLS = (5.0, 5.0)


def default_rate(operation: str, region: str) -> float:
    """Returns the calls per second that AWS grants by default.

    Args:
        operation: Service and operation, `rekognition.DetectLabels` say.
        region: AWS's name of the region.
    """
    main, elsewhere = CALLS.get(operation, OTHER_CALLS)
    return main if region in MAIN_REGIONS else elsewhere
