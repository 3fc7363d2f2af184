"""What AWS's errors mean, decided here once: again, wait for room, never, or no answer at all."""

from __future__ import annotations

import re

from botocore import exceptions

from mediaq.errors import (
    NoRoom,
    ProviderError,
    Refused,
    StaleToken,
    Throttled,
    TryAgain,
    Unanswered,
    Unreachable,
)

# Error codes of the AWS API references that say: not now. Every 5xx says so too.
AGAIN = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "ModelErrorException",
        "ModelNotReadyException",
        "ServiceUnavailableException",
        "SlowDown",
    }
)
# Those that say: too many calls. S3's SlowDown is none: its rates are by prefix, and nobody keeps them here.
THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
# Someone between here and the service stopped waiting: the work may be done all the same.
UNANSWERED = frozenset({"ModelTimeoutException", "RequestTimeout", "RequestTimeoutException"})
UNANSWERED_STATUS = (408, 502, 504)
# A connection that was never made carried no call.
NEVER_SENT = (
    exceptions.EndpointConnectionError,
    exceptions.ConnectTimeoutError,
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
)
# AWS names roles and accounts where permissions lack.
ARN = re.compile(r"\barn:aws[\w-]*:[^\s\"',]+")
NAMES = {
    "bedrock-runtime": "Bedrock",
    "comprehend": "Comprehend",
    "rekognition": "Rekognition",
    "s3": "S3",
    "sqs": "SQS",
    "transcribe": "Transcribe",
}


def classify(error: Exception, service: str, limit: str) -> ProviderError:
    """Turns what a client of `service` raised into what follows from it.

    Args:
        error: A botocore error, a timeout or an error of the connection.
        service: boto's name of the service.
        limit: What the call counts for, where AWS limits how many there may be.

    Returns:
        A TryAgain (Throttled, Unreachable or Unanswered where that is known), a NoRoom, a StaleToken or a
        Refused, with a reason for people, which names no address or account of ours.
    """
    name = NAMES.get(service, service)
    code = type(error).__name__
    match error:
        case exceptions.ClientError():
            return _of_answer(error, name, limit)
        case exceptions.ParamValidationError():
            return Refused(f"{name} cannot be asked this: {error}", code)
        case _ if isinstance(error, NEVER_SENT):
            return Unreachable(f"{name} cannot be reached", code)
        case _:
            return Unanswered(f"{name} gave no answer", code)


def _of_answer(error: exceptions.ClientError, name: str, limit: str) -> ProviderError:
    code = error.response.get("Error", {}).get("Code", "Unknown")
    message = ARN.sub("(…)", error.response.get("Error", {}).get("Message") or "no reason given")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    if code == "LimitExceededException" and _is_about_room(message):
        return NoRoom(f"{name} has no room for now: {message} ({code})", code)
    if code == "InvalidPaginationTokenException":
        return StaleToken(f"{name} knows the page no more: {message} ({code})", code)
    if code in UNANSWERED or status in UNANSWERED_STATUS:
        return Unanswered(f"{name} gave up waiting: {message} ({code})", code)
    if code in THROTTLED or (status == 429 and code not in AGAIN):
        return Throttled(f"{name} has been called too often for now: {message} ({code})", code, limit)
    if code in AGAIN or status >= 500 or status == 424:
        return TryAgain(f"{name} is busy or failing: {message} ({code})", code)
    return Refused(f"{name} refused: {message} ({code})", code)


def _is_about_room(message: str) -> bool:
    # Transcribe uses one code for too many jobs and for a file that is too long: only the words differ, and
    # where they name both, waiting does no harm.
    said = message.lower()
    about_file = any(words in said for words in ("duration", "length", "too long", "file size"))
    return "too many" in said or not about_file
