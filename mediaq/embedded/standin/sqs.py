"""SQS, as much of it as a receiver of notices uses: SendMessage, ReceiveMessage, DeleteMessageBatch."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from mediaq.embedded.standin.errors import AwsError
from mediaq.embedded.standin.invocations import Answer, Invocation, Operation
from mediaq.embedded.standin.queues import Message, Queue
from mediaq.embedded.standin.validation import Member

# Amazon SQS API reference, ReceiveMessage and CreateQueue: the queue's own defaults.
MOST_MESSAGES = 10
LONGEST_WAIT = 20
HIDDEN = 30


async def send_message(invocation: Invocation) -> Answer:
    """Answer SendMessage."""
    message = _queue(invocation).send(invocation.body["MessageBody"])
    return Answer({"MessageId": message.id, "MD5OfMessageBody": _md5(message.body)})


async def receive_message(invocation: Invocation) -> Answer:
    """Answer ReceiveMessage; what a client that has hung up would have received stays for others."""
    body, queue = invocation.body, _queue(invocation)
    receiving = asyncio.create_task(
        queue.receive(
            body.get("MaxNumberOfMessages", 1),
            body.get("WaitTimeSeconds", 0),
            body.get("VisibilityTimeout", HIDDEN),
        )
    )
    leaving = asyncio.create_task(invocation.gone())
    try:
        await asyncio.wait((receiving, leaving), return_when=asyncio.FIRST_COMPLETED)
        messages = receiving.result() if receiving.done() else []
    finally:
        receiving.cancel()
        leaving.cancel()
    return Answer({"Messages": [_shown(message) for message in messages]} if messages else {})


async def delete_message_batch(invocation: Invocation) -> Answer:
    """Answer DeleteMessageBatch; what is deleted already counts as deleted."""
    queue, entries = _queue(invocation), invocation.body["Entries"]
    for entry in entries:
        queue.delete(entry["ReceiptHandle"])
    return Answer({"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []})


def queue_resource(body: dict[str, Any]) -> str:
    """Return the queue's address."""
    return str(body.get("QueueUrl", ""))


def _queue(invocation: Invocation) -> Queue:
    name = invocation.body["QueueUrl"].rpartition("/")[2]
    if (queue := invocation.standin.queues.find(name)) is None:
        raise AwsError("com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist.")
    return queue


def _shown(message: Message) -> dict[str, str]:
    return {
        "MessageId": message.id,
        "ReceiptHandle": message.handle,
        "MD5OfBody": _md5(message.body),
        "Body": message.body,
    }


def _md5(body: str) -> str:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def _operation(name: str, answer: Any, *members: Member) -> Operation:
    url = Member("QueueUrl", required=True)
    return Operation(
        service="sqs", name=name, item="", answer=answer, resource=queue_resource, members=(url, *members)
    )


OPERATIONS = (
    _operation("SendMessage", send_message, Member("MessageBody", required=True, low=1)),
    _operation(
        "ReceiveMessage",
        receive_message,
        Member("MaxNumberOfMessages", int, low=1, high=MOST_MESSAGES),
        Member("WaitTimeSeconds", int, low=0, high=LONGEST_WAIT),
        Member("VisibilityTimeout", int, low=0, high=43_200),
    ),
    _operation(
        "DeleteMessageBatch",
        delete_message_batch,
        Member("Entries", list, required=True, low=1, high=MOST_MESSAGES),
    ),
)
