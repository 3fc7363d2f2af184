"""What AWS sends when an asynchronous job has ended, in the shapes in which it comes out of SQS.

Rekognition publishes to the topic that the job's start named, and SNS wraps that in a notification.
Transcribe's change of state is an event of EventBridge's, for which every queue here has a rule. A fault of
`Notify`, of whatever kind but `latency`, loses a notice, as deliveries are best effort.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

if TYPE_CHECKING:
    from mediaq.embedded.standin.book import End, Job
    from mediaq.embedded.standin.faults import Faults
    from mediaq.embedded.standin.queues import Queues

NOTIFY = "Notify"
REGION, ACCOUNT = "us-east-1", "000000000000"


def notify(queues: Queues, faults: Faults, job: Job, end: End) -> None:
    """Send the notice of a job's end to whoever is to have it."""
    bodies = [(queue, body) for queue, body in _notices(queues, job, end) if queue is not None]
    if not bodies or any(rule.kind != "latency" for rule in faults.take(NOTIFY)):
        return
    for queue, body in bodies:
        queue.send(msgspec.json.encode(body).decode())


def _notices(queues: Queues, job: Job, end: End) -> list[tuple[Any, dict[str, Any]]]:
    if job.service == "transcribe":
        event = transcribe_event(job, end)
        return [(queue, event) for queue in queues.every()]
    if (channel := job.request.get("NotificationChannel")) is None:
        return []
    topic = channel["SNSTopicArn"]
    return [(queues.find(topic.rpartition(":")[2]), sns_notification(topic, rekognition_message(job, end)))]


def rekognition_message(job: Job, end: End) -> dict[str, Any]:
    """Return what Rekognition publishes. Developer Guide, "Video analysis results notification"."""
    place = job.request["Video"]["S3Object"]
    message = {
        "JobId": job.id,
        "Status": "FAILED" if end.failure else "SUCCEEDED",
        "API": job.operation,
        "Timestamp": round(end.at * 1000),
        "Video": {"S3ObjectName": place["Name"], "S3Bucket": place["Bucket"]},
    }
    tag = job.request.get("JobTag")
    return message if tag is None else {**message, "JobTag": tag}


def sns_notification(topic: str, message: dict[str, Any]) -> dict[str, Any]:
    """Return what SNS sends to a queue. SNS Developer Guide, "Fanout to Amazon SQS queues"; unsigned."""
    return {
        "Type": "Notification",
        "MessageId": str(uuid4()),
        "TopicArn": topic,
        "Message": msgspec.json.encode(message).decode(),
        "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "SignatureVersion": "1",
        "Signature": "unsigned",
        "SigningCertURL": f"https://sns.{REGION}.amazonaws.com/none.pem",
        "UnsubscribeURL": f"https://sns.{REGION}.amazonaws.com/?Action=Unsubscribe",
    }


def transcribe_event(job: Job, end: End) -> dict[str, Any]:
    """Return EventBridge's event. Transcribe Developer Guide, "Using Amazon EventBridge"."""
    detail = {
        "TranscriptionJobName": job.id,
        "TranscriptionJobStatus": "FAILED" if end.failure else "COMPLETED",
    }
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Transcribe Job State Change",
        "source": "aws.transcribe",
        "account": ACCOUNT,
        "time": datetime.fromtimestamp(end.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [],
        "detail": {**detail, "FailureReason": end.failure} if end.failure else detail,
    }
