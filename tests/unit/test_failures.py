"""What AWS's errors mean: again, wait for room, never, or no answer at all."""

import aiohttp
import pytest
from botocore import exceptions
from botocore.exceptions import ClientError

from mediaq.aws.failures import classify
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

LIMIT = "rekognition.DetectLabels"


def answered(code: str, message: str = "the reason", status: int = 400) -> ClientError:
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, "DetectLabels")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("InternalServerError", 500),
        ("InternalServerException", 500),
        ("InternalFailure", 500),
        ("ServiceUnavailableException", 503),
        ("SlowDown", 503),
        ("ModelNotReadyException", 429),
        ("ModelErrorException", 424),
        # The code says it whatever the status; the status says it where the code is new.
        ("InternalServerError", 400),
        ("NeverHeardOf", 500),
    ],
)
def test_what_aws_cannot_do_for_now_is_tried_again(code: str, status: int) -> None:
    found = classify(answered(code, status=status), "rekognition", LIMIT)
    assert type(found) is TryAgain
    assert (str(found), found.code) == (f"Rekognition is busy or failing: the reason ({code})", code)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),
        ("Throttling", 400),
        ("ProvisionedThroughputExceededException", 400),
        ("TooManyRequestsException", 400),
        ("NeverHeardOf", 429),
    ],
)
def test_one_call_too_many_is_told_apart_and_names_its_limit(code: str, status: int) -> None:
    found = classify(answered(code, status=status), "rekognition", LIMIT)
    assert isinstance(found, Throttled)
    assert (found.code, found.limit) == (code, LIMIT)
    assert str(found) == f"Rekognition has been called too often for now: the reason ({code})"


def test_a_page_that_is_no_longer_known_is_not_asked_for_again() -> None:
    assert type(classify(answered("InvalidPaginationTokenException"), "rekognition", LIMIT)) is StaleToken


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("rekognition", "The number of open requests exceeds the limit."),
        ("rekognition", "Number of concurrent jobs exceeds limit"),
        ("transcribe", "You have too many concurrent jobs."),
        (
            "transcribe",
            "You've sent too many requests or your input file is too long. Wait before you resend.",
        ),
    ],
)
def test_where_all_places_are_taken_the_job_waits_for_room(service: str, message: str) -> None:
    found = classify(answered("LimitExceededException", message), service, LIMIT)
    assert type(found) is NoRoom
    assert message in str(found)


@pytest.mark.parametrize(
    "message",
    [
        "Your media file's duration exceeds the limit of 4 hours",
        "The input file is too long",
        "The file size exceeds the limit of 2 GB",
    ],
)
def test_a_file_that_transcribe_will_never_take_is_refused_though_the_code_is_the_same(message: str) -> None:
    assert type(classify(answered("LimitExceededException", message), "transcribe", LIMIT)) is Refused


@pytest.mark.parametrize(
    "code",
    [
        "InvalidImageFormatException",
        "InvalidS3ObjectException",
        "ImageTooLargeException",
        "VideoTooLargeException",
        "InvalidParameterException",
        "AccessDeniedException",
        "IdempotentParameterMismatchException",
        "TextSizeLimitExceededException",
        "UnsupportedLanguageException",
        "InvalidRequestException",
        "BadRequestException",
        "ConflictException",
        "ValidationException",
        "NoSuchKey",
        "NeverHeardOf",
    ],
)
def test_what_aws_will_never_accept_is_refused(code: str) -> None:
    found = classify(answered(code), "comprehend", LIMIT)
    assert type(found) is Refused
    assert (str(found), found.code) == (f"Comprehend refused: the reason ({code})", code)


def test_parameters_that_botocore_does_not_send_are_refused() -> None:
    found = classify(
        exceptions.ParamValidationError(report="Unknown parameter: Immage"), "rekognition", LIMIT
    )
    assert type(found) is Refused
    assert "Rekognition cannot be asked this" in str(found)
    assert "Unknown parameter: Immage" in str(found)


URL = "http://127.0.0.1:1/"


@pytest.mark.parametrize(
    "error",
    [
        exceptions.EndpointConnectionError(endpoint_url=URL),
        exceptions.ConnectTimeoutError(endpoint_url=URL),
        exceptions.NoCredentialsError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_call_that_was_never_sent_cannot_have_been_billed(error: Exception) -> None:
    found = classify(error, "transcribe", LIMIT)
    assert type(found) is Unreachable
    assert str(found) == "Transcribe cannot be reached"
    assert found.code == type(error).__name__


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ReadTimeoutError(endpoint_url=URL),
        exceptions.ConnectionClosedError(endpoint_url=URL),
        exceptions.ResponseStreamingError(error="cut"),
        exceptions.HTTPClientError(error="?"),
        aiohttp.ClientPayloadError("cut"),
        aiohttp.ServerDisconnectedError(),
        ConnectionResetError(104, "reset by peer"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_call_whose_answer_was_lost_may_have_been_billed(error: Exception) -> None:
    found = classify(error, "bedrock-runtime", LIMIT)
    assert type(found) is Unanswered
    assert str(found) == "Bedrock gave no answer"
    assert found.code == type(error).__name__


def test_what_aws_says_of_roles_and_accounts_is_not_passed_on() -> None:
    role = "arn:aws:sts::123456789012:assumed-role/mediaq/worker-1"
    said = f"User: {role} is not authorized to perform: rekognition:DetectLabels"
    answer = {"Error": {"Code": "AccessDeniedException", "Message": said}}
    found = classify(exceptions.ClientError(answer, "DetectLabels"), "rekognition", LIMIT)
    assert str(found) == (
        "Rekognition refused: User: (…) is not authorized to perform: rekognition:DetectLabels "
        "(AccessDeniedException)"
    )


def test_an_answer_without_words_or_status_is_still_explained() -> None:
    found = classify(ClientError({}, "HeadObject"), "s3", LIMIT)
    assert type(found) is Refused
    assert str(found) == "S3 refused: no reason given (Unknown)"


def test_every_class_is_a_provider_error_and_only_a_lost_answer_is_also_tried_again() -> None:
    assert issubclass(Unanswered, TryAgain)
    assert issubclass(Unreachable, TryAgain)
    assert not issubclass(StaleToken, TryAgain)
    assert not issubclass(NoRoom, TryAgain)
    assert all(issubclass(kind, ProviderError) for kind in (TryAgain, NoRoom, Refused))


@pytest.mark.parametrize(
    ("code", "status"),
    [("ModelTimeoutException", 408), ("RequestTimeout", 400), ("NeverHeardOf", 502), ("NeverHeardOf", 504)],
)
def test_what_someone_gave_up_waiting_for_may_be_done_and_is_unanswered(code: str, status: int) -> None:
    error = classify(answered(code, status=status), "rekognition", LIMIT)
    assert type(error) is Unanswered
    assert str(error) == f"Rekognition gave up waiting: the reason ({code})"
