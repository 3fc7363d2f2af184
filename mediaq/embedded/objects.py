"""A folder that holds the objects of moto's S3: what moto has in memory, a file for each object."""

import hashlib
import json
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import FakeKey, S3Backend, s3_backends

_REGION = "us-east-1"
_CHECKSUM = ("checksum_algorithm", "checksum_value", "checksum_type", "checksum_parts")
_DRAFT = ".draft"


class ObjectFolder:
    """Keeps the objects of a moto S3, in a folder for each bucket and a file for each object.

    A file holds a line of JSON about the object, then its bytes. It is written under another name and
    renamed, so kill -9 leaves an object whole with all its metadata, or as it was before. (Files are not
    synced: a power cut may lose the last ones.) A file's name is a hash, for a key may be longer than a name.

    Args:
        root: The folder; made where it is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._kept: dict[Path, str] = {}
        self._writing = threading.Lock()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self) -> None:
        """Put every kept bucket and object into moto."""
        for folder in self.root.iterdir():
            self.make_bucket(folder.name)
            for file in folder.iterdir():
                if file.suffix == _DRAFT:
                    file.unlink()
                else:
                    self._load_object(folder.name, file)

    def make_bucket(self, name: str) -> None:
        """Make a bucket where it is missing, in moto and in the folder."""
        if name not in _moto().buckets:
            _moto().create_bucket(name, _REGION)
        (self.root / name).mkdir(mode=0o700, exist_ok=True)

    def keep(self, bucket: str, key: str) -> None:
        """Bring the folder up to moto's state: of one object, or with an empty key of the whole bucket."""
        with self._writing:
            if bucket not in _moto().buckets:
                self._drop_bucket(bucket)
                return
            (self.root / bucket).mkdir(mode=0o700, exist_ok=True)
            for name in [key] if key else self._names(bucket):
                self._keep_object(bucket, name)

    def _keep_object(self, bucket: str, key: str) -> None:
        file = self.root / bucket / _file_name(key)
        found = _moto().buckets[bucket].keys.get(key)
        if not isinstance(found, FakeKey):  # gone, or a delete marker
            self._drop_object(file)
            return
        header = _describe(found)
        if self._kept.get(file) == header:
            return
        try:
            value = found.value
        except ValueError:  # replaced meanwhile: the request that did so keeps the newer object
            return
        draft = file.with_suffix(_DRAFT)
        with draft.open("wb") as target:
            target.write(header.encode() + b"\n")
            target.write(value)
        draft.rename(file)
        self._kept[file] = header

    def _load_object(self, bucket: str, file: Path) -> None:
        with file.open("rb") as source:
            header = source.readline().decode().rstrip("\n")
            about = json.loads(header)
            found = _moto().put_object(
                bucket, about["key"], source.read(), storage=about["storage"], etag=about["etag"]
            )
        found.last_modified = datetime.fromisoformat(about["modified"])
        found.set_metadata(about["metadata"])
        for name in _CHECKSUM:
            setattr(found, name, about[name])
        self._kept[file] = header

    def _names(self, bucket: str) -> list[str]:
        kept = [
            json.loads(header)["key"] for file, header in self._kept.items() if file.parent.name == bucket
        ]
        return [*dict.fromkeys([*kept, *_moto().buckets[bucket].keys])]

    def _drop_object(self, file: Path) -> None:
        file.unlink(missing_ok=True)
        self._kept.pop(file, None)

    def _drop_bucket(self, bucket: str) -> None:
        folder = self.root / bucket
        if bucket and folder.is_dir():  # moto deletes empty buckets only
            folder.rmdir()


def _moto() -> S3Backend:
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


def _file_name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _describe(found: FakeKey) -> str:
    about: dict[str, Any] = {
        "key": found.name,
        "etag": found.etag.strip('"'),
        "modified": found.last_modified.isoformat(),
        "storage": found.storage_class,
        "metadata": dict(found.metadata),
    }
    return json.dumps(about | {name: getattr(found, name) for name in _CHECKSUM})
