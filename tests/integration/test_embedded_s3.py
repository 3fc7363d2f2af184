"""The embedded S3: what was stored is there after kill -9 and a restart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import aioboto3
import httpx
import pytest
import pytest_asyncio
from attrs import frozen
from botocore.exceptions import ClientError
from supervised import kill

from mediaq.embedded import ports, s3
from mediaq.embedded.supervisor import Supervisor

pytestmark = pytest.mark.asyncio(loop_scope="module")

BUCKET = "media"
ODD_KEYS = {
    "a/b/c", "a//b", "/lead", "trail/", "sp ace", "ünïcödé/日本", "u\u0308", "\u00fc", "a+b&c=d?e#f",
    "per%20cent%2F", "../up", "..", "./dot", "q'\"uote", "back\\slash", "~!*()", "long" * 256,
}  # fmt: skip
PART = 5 * 1024 * 1024  # the smallest that S3 allows, over moto's bound for memory
FILM = bytes(range(256)) * (PART // 256 + 1000)
PHOTO = {
    "ContentType": "image/jpeg",
    "CacheControl": "no-store",
    "Metadata": {"owner": "user-1", "with_underscore": "x"},
    "ChecksumAlgorithm": "SHA256",
}


@frozen
class Restarted:
    """A server that was killed and started again, and what it said of its objects before."""

    client: Any
    folder: Path
    before: dict[str, Any]


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Any]:
    """A client of an S3 server on the folder."""
    port = ports.free_port()
    session = aioboto3.Session("test", "test", region_name="us-east-1")
    async with Supervisor(folder) as supervisor:
        await supervisor.start([s3.process(folder / "s3", port=port, bucket=BUCKET)])
        async with session.client("s3", endpoint_url=s3.url(port=port)) as client:
            yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def restarted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Restarted]:
    folder = tmp_path_factory.mktemp("stack")
    async with serving(folder) as client:
        await store_objects(client)
        await delete_objects(client)
        before = {key: await head(client, key) for key in ("photo", "film", "note")}
        await kill(folder)
    (some_object, *_) = (folder / "s3" / BUCKET).iterdir()
    some_object.with_name("0.draft").write_bytes(some_object.read_bytes()[:5])
    async with serving(folder) as client:
        yield Restarted(client, folder, before)


async def store_objects(client: Any) -> None:
    await client.create_bucket(Bucket="odd")
    for key in ODD_KEYS:
        await client.put_object(Bucket="odd", Key=key, Body=f"content of {key}".encode())
    await client.put_object(Bucket=BUCKET, Key="photo", Body=b"pixels", **PHOTO)
    await upload_in_parts(client, "film", [FILM[:PART], FILM[PART:]])
    await client.put_object(Bucket=BUCKET, Key="note", Body=b"first", ContentType="text/plain")
    await client.put_object(Bucket=BUCKET, Key="note", Body=b"second")
    await client.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "photo"})
    form = await client.generate_presigned_post(BUCKET, "from-a-form")
    async with httpx.AsyncClient() as browser:
        answer = await browser.post(form["url"], data=form["fields"], files={"file": b"content"})
    answer.raise_for_status()


async def upload_in_parts(client: Any, key: str, parts: list[bytes]) -> None:
    upload = await client.create_multipart_upload(Bucket=BUCKET, Key=key, Metadata={"owner": "user-2"})
    target = {"Bucket": BUCKET, "Key": key, "UploadId": upload["UploadId"]}
    done = []
    for number, part in enumerate(parts, 1):
        answer = await client.upload_part(**target, PartNumber=number, Body=BytesIO(part))
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    await client.complete_multipart_upload(**target, MultipartUpload={"Parts": done})


async def delete_objects(client: Any) -> None:
    for key in ("one", "two", "three"):
        await client.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    await client.delete_object(Bucket=BUCKET, Key="one")
    await client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "two"}, {"Key": "three"}]})
    await client.create_bucket(Bucket="emptied")
    await client.delete_bucket(Bucket="emptied")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        await client.put_object(Bucket="missing", Key="key", Body=b"x")


async def head(client: Any, key: str) -> dict[str, Any]:
    answer = await client.head_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


async def keys(client: Any, bucket: str) -> set[str]:
    listed = await client.list_objects_v2(Bucket=bucket)
    return {found["Key"] for found in listed["Contents"]}


async def read(client: Any, bucket: str, key: str) -> bytes:
    answer = await client.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    async with answer["Body"] as body:
        content: bytes = await body.read()
    return content


async def test_objects_with_odd_keys_survive(restarted: Restarted) -> None:
    assert await keys(restarted.client, "odd") == ODD_KEYS
    for key in ODD_KEYS:
        assert await read(restarted.client, "odd", key) == f"content of {key}".encode()


async def test_what_is_known_about_an_object_survives(restarted: Restarted) -> None:
    photo = await head(restarted.client, "photo")
    assert photo == restarted.before["photo"]
    assert photo["ContentType"] == "image/jpeg"
    assert photo["Metadata"] == PHOTO["Metadata"]
    assert "ChecksumSHA256" in photo


async def test_an_upload_in_parts_survives_with_its_etag(restarted: Restarted) -> None:
    film = await head(restarted.client, "film")
    assert film == restarted.before["film"]
    assert film["ETag"].endswith('-2"')
    assert await read(restarted.client, BUCKET, "film") == FILM


async def test_the_last_content_of_a_key_survives(restarted: Restarted) -> None:
    assert await head(restarted.client, "note") == restarted.before["note"]
    assert await read(restarted.client, BUCKET, "note") == b"second"


async def test_copies_and_form_uploads_survive(restarted: Restarted) -> None:
    assert await read(restarted.client, BUCKET, "copy") == b"pixels"
    assert await read(restarted.client, BUCKET, "from-a-form") == b"content"


async def test_what_was_deleted_or_refused_or_cut_off_is_not_there(restarted: Restarted) -> None:
    assert await keys(restarted.client, BUCKET) == {"photo", "film", "note", "copy", "from-a-form"}
    listed = await restarted.client.list_buckets()
    assert {bucket["Name"] for bucket in listed["Buckets"]} == {BUCKET, "odd"}
    assert {folder.name for folder in (restarted.folder / "s3").iterdir()} == {BUCKET, "odd"}
    assert len(list((restarted.folder / "s3" / BUCKET).iterdir())) == 5
