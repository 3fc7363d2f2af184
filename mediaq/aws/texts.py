"""S3 objects read as texts."""

from __future__ import annotations

from mediaq.aws import objects
from mediaq.aws.clients import Aws
from mediaq.errors import Refused

BYTE_ORDER_MARK = "\ufeff"
# In this order: the mark of UTF-32 in little endian begins with that of UTF-16.
OTHER_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


async def read_text(aws: Aws, bucket: str, key: str, *, most: int) -> str:
    """Reads a whole object as a text in UTF-8, without the byte order mark that it may begin with.

    It takes memory for the bytes and for the text, which has up to four bytes a character.

    Args:
        aws: The clients.
        bucket: The object's bucket.
        key: The object's key.
        most: Bytes it may have; of a larger one none is read.

    Raises:
        Refused: There is no such object, it is larger, it is empty, or it is no text in UTF-8.
        ProviderError: S3 cannot be asked for now.
    """
    content = await objects.read(aws, bucket, key, most=most)
    return _decoded(content, f"s3://{bucket}/{key}")


def _decoded(content: bytes, name: str) -> str:
    for mark, encoding in OTHER_MARKS.items():
        if content.startswith(mark):
            raise _unreadable(f"{name} is a text in {encoding}: save it as UTF-8")
    # Postgres keeps none, and they are the surest sign of a file of another kind.
    if (at := content.find(b"\0")) >= 0:
        raise _unreadable(f"{name} is no text: byte {at} is NUL")
    try:
        text = content.decode().removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise _unreadable(
            f"{name} is not in UTF-8: byte {error.start} is wrong ({error.reason}); save it as UTF-8"
        ) from error
    if not text or text.isspace():
        raise _unreadable(f"{name} is empty: there is no text in it")
    return text


def _unreadable(reason: str) -> Refused:
    return Refused(reason, "UnreadableText")
