"""Objects in S3 read as texts: whole, in UTF-8, or refused with what is wrong and where."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from mediaq.aws import objects
from mediaq.aws.clients import Aws, open_aws
from mediaq.aws.texts import read_text
from mediaq.errors import Refused
from mediaq.settings import Aws as AwsSettings

MOST = 6_000_000

Read = Callable[[bytes], Awaitable[str]]


@pytest.fixture
async def aws(s3_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Aws]:
    for name, value in s3_env.items():
        monkeypatch.setenv(name, value)
    async with open_aws(AwsSettings()) as opened:
        yield opened


@pytest.fixture
def read(aws: Aws, bucket: str) -> Read:
    """Stores an object and reads it as a text."""

    async def read(content: bytes) -> str:
        await objects.write(aws, bucket, "note.txt", content, "text/plain")
        return await read_text(aws, bucket, "note.txt", most=MOST)

    return read


async def test_a_text_is_read_as_it_is(read: Read) -> None:
    text = " Grüße aus 東京 😀\r\n\n"
    assert await read(text.encode()) == text


async def test_a_byte_order_mark_is_left_out_where_it_is_one(read: Read) -> None:
    assert await read(b"\xef\xbb\xbfHello") == "Hello"
    assert await read("Hel\ufefflo".encode()) == "Hel\ufefflo"


async def test_a_text_of_five_megabytes_is_read(read: Read) -> None:
    text = "Er sagte: schön! " * 290_000
    assert len(text.encode()) > 5_000_000
    assert await read(text.encode()) == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty: there is no text in it"),
        (b" \n\t\r\n", "is empty: there is no text in it"),
        (b"\xef\xbb\xbf", "is empty: there is no text in it"),
        (b"Sch\xf6n", "is not in UTF-8: byte 3 is wrong (invalid start byte); save it as UTF-8"),
        (
            b"\xef\xbb\xbfSch\xf6n",
            "is not in UTF-8: byte 6 is wrong (invalid start byte); save it as UTF-8",
        ),
        (b"cut \xf0\x9f\x98", "is not in UTF-8: byte 4 is wrong (unexpected end of data); save it as UTF-8"),
        (b"\xed\xa0\x80", "is not in UTF-8: byte 0 is wrong (invalid continuation byte); save it as UTF-8"),
        ("Hello".encode("utf-16"), "is a text in UTF-16: save it as UTF-8"),
        ("Hello".encode("utf-32"), "is a text in UTF-32: save it as UTF-8"),
        (b"\xfe\xff\0H\0i", "is a text in UTF-16: save it as UTF-8"),
        (b"PK\x03\x04\n\0\0\0", "is no text: byte 5 is NUL"),
    ],
)
async def test_what_is_no_text_in_utf8_is_refused_with_what_is_wrong_and_where(
    read: Read, bucket: str, content: bytes, reason: str
) -> None:
    with pytest.raises(Refused) as caught:
        await read(content)
    assert str(caught.value) == f"s3://{bucket}/note.txt {reason}"
    assert caught.value.code == "UnreadableText"


async def test_a_text_over_the_limit_is_refused_unread(read: Read) -> None:
    with pytest.raises(Refused, match=f"has {MOST + 1} bytes; at most {MOST} are read"):
        await read(b"a" * (MOST + 1))


async def test_a_missing_object_is_refused(aws: Aws, bucket: str) -> None:
    with pytest.raises(Refused, match="there is no object"):
        await read_text(aws, bucket, "nowhere.txt", most=MOST)
