"""The errors of the services, as the client sees them: a code, a message and an HTTP status."""

from __future__ import annotations


class AwsError(Exception):
    """A call that a service refuses.

    Args:
        code: The service's name for the error, such as `InvalidS3ObjectException`.
        message: What the service says about it.
        status: The HTTP status of the answer.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class HangUp(Exception):
    """Orders the connection to be cut without an answer."""


def serialization_error(message: str) -> AwsError:
    """Return what AWS says of a body that is no JSON or has a value of the wrong type."""
    return AwsError("SerializationException", message)


def invalid_parameters(message: str = "Request has invalid parameters") -> AwsError:
    """Return Rekognition's answer to parameters that make no sense together."""
    return AwsError("InvalidParameterException", message)


def bad_request(message: str) -> AwsError:
    """Return Transcribe's answer to a request that it cannot use."""
    return AwsError("BadRequestException", message)


def invalid_input(message: str) -> AwsError:
    """Return Bedrock's answer to a body that the model cannot use."""
    return AwsError("ValidationException", message)
