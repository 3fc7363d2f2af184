"""Notices that asynchronous jobs have ended: received from the SQS queue that AWS sends them to.

Rekognition publishes them to an SNS topic, Transcribe's are events of EventBridge's; both feed the one queue.
A notice may come twice, late or never, and says nothing that AWS would not say when asked. Requests to SQS
are, like those to S3, outside the ledger.
"""

from __future__ import annotations

import msgspec
from attrs import frozen

from mediaq.aws.calls import call
from mediaq.aws.clients import Aws

# Amazon SQS API reference, ReceiveMessage.
MOST_MESSAGES = 10
LONGEST_WAIT = 20
# Seconds until others receive what this process received and did not delete: more than handling takes, and
# few, for a wait that is cut short may have received something.
HIDDEN = 10


@frozen
class Message:
    """A message as it was received.

    Args:
        body: What was sent.
        receipt: By which it is deleted.
    """

    body: str
    receipt: str


class _Detail(msgspec.Struct):
    TranscriptionJobName: str | None = None


class _Notice(msgspec.Struct):
    """Any of the kinds: SNS's wrapping (`Message`), Rekognition's message, or EventBridge's event."""

    JobId: str | None = None
    detail: _Detail | None = None
    Message: str | None = None


async def receive(aws: Aws, queue_url: str) -> list[Message]:
    """Waits for messages, as long as SQS and the time for a call allow.

    Args:
        aws: The clients.
        queue_url: The queue.

    Returns:
        The messages; empty: none came.

    Raises:
        ProviderError: SQS cannot be asked, or refuses.
    """
    wait = min(LONGEST_WAIT, int(aws.settings.call_timeout / 2))
    answer = await call(
        aws,
        "sqs",
        "receive_message",
        QueueUrl=queue_url,
        MaxNumberOfMessages=MOST_MESSAGES,
        WaitTimeSeconds=wait,
        VisibilityTimeout=HIDDEN,
    )
    return [Message(each["Body"], each["ReceiptHandle"]) for each in answer.get("Messages", ())]


async def delete(aws: Aws, queue_url: str, messages: list[Message]) -> None:
    """Deletes messages that were received together; one that stays is received again.

    Raises:
        ProviderError: SQS cannot be asked, or refuses.
    """
    entries = [{"Id": str(n), "ReceiptHandle": each.receipt} for n, each in enumerate(messages)]
    await call(aws, "sqs", "delete_message_batch", QueueUrl=queue_url, Entries=entries)


def ended_job(body: str) -> str:
    """Returns the id or name of the job that a message is about.

    Args:
        body: What came out of the queue, in SNS's wrapping or, with its raw delivery, without.

    Raises:
        ValueError: It is no notice of a job; the text says why.
    """
    notice = _decoded(body)
    if notice.Message and not (notice.JobId or notice.detail):
        notice = _decoded(notice.Message)
    name = notice.JobId or (notice.detail and notice.detail.TranscriptionJobName)
    if not name:
        raise ValueError("it names no job")
    return name


def _decoded(text: str) -> _Notice:
    try:
        return msgspec.json.decode(text, type=_Notice)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
