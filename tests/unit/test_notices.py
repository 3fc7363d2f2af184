"""What comes out of the queue is a notice of a job's end, in any of its wrappings, or it is said why not."""

import json
import re

import pytest

from mediaq.aws.completions import ended_job

# As in the Developer Guides of Rekognition, SNS and Transcribe.
MESSAGE = {
    "JobId": "6de014b0-2121-4bf0-9e31-856a18719e22",
    "Status": "SUCCEEDED",
    "API": "StartLabelDetection",
    "JobTag": "tag",
    "Message": "",
    "Timestamp": 1502230160926,
    "Video": {"S3ObjectName": "video.mpg", "S3Bucket": "videobucket"},
}
EVENT = {
    "version": "0",
    "id": "event ID",
    "detail-type": "Transcribe Job State Change",
    "source": "aws.transcribe",
    "account": "111122223333",
    "time": "2016-06-22T22:00:00Z",
    "region": "us-west-2",
    "resources": [],
    "detail": {"TranscriptionJobName": "my-first-transcription-job", "TranscriptionJobStatus": "COMPLETED"},
}


def in_sns(message: str) -> str:
    return json.dumps({"Type": "Notification", "MessageId": "1", "TopicArn": "a", "Message": message})


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize(
    ("notice", "job"),
    [
        (MESSAGE, "6de014b0-2121-4bf0-9e31-856a18719e22"),
        ({**MESSAGE, "Status": "FAILED", "Message": "Why it failed."}, MESSAGE["JobId"]),
        (EVENT, "my-first-transcription-job"),
    ],
)
def test_the_job_of_a_notice_is_found_in_and_out_of_snss_wrapping(
    notice: dict[str, object], job: str, wrapped: bool
) -> None:
    body = json.dumps(notice)
    assert ended_job(in_sns(body) if wrapped else body) == job


MALFORMED = {
    "": "Input data was truncated",
    "no json": "JSON is malformed",
    "[]": "Expected `object`",
    "{}": "it names no job",
    '{"JobId": 5}': "Expected `str | null`, got `int`",
    '{"JobId": ""}': "it names no job",
    '{"JobId": "\\ud800"}': "Input data was truncated",
    '{"detail": {"JobName": "of another kind"}}': "it names no job",
    '{"detail": "none"}': "Expected `object | null`",
    in_sns("words"): "JSON is malformed",
    in_sns(in_sns(json.dumps(MESSAGE))): "it names no job",
    '{"detail": ' * 100_000: "maximum recursion depth exceeded",
}


@pytest.mark.parametrize(("body", "why"), MALFORMED.items(), ids=range(len(MALFORMED)))
def test_what_is_no_notice_is_refused_with_the_reason(body: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        ended_job(body)
