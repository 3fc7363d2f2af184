"""Names for what a call was about: an address in S3, or a digest of what was sent. Any request has one."""

from __future__ import annotations

import hashlib


def digest(data: bytes) -> str:
    """Return the digest of bytes that were sent."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def text_digest(value: object) -> str:
    """Return the digest of a text; of something else, which the service refuses, that of its plain form."""
    return digest(str(value).encode())


def s3_address(holder: object) -> str:
    """Return the address of the `S3Object` that a member holds, as far as it is given."""
    place = holder.get("S3Object") if isinstance(holder, dict) else None
    place = place if isinstance(place, dict) else {}
    return f"s3://{place.get('Bucket', '')}/{place.get('Name', '')}"
