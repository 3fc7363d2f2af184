"""Keys of tokens, private and as they are published, and what a server of them is told."""

import json
import threading
from typing import Any

import attrs
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey


def rsa_key(bits: int = 2048) -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=bits)


def ec_key() -> EllipticCurvePrivateKey:
    return generate_ec_key(SECP256R1())


def jwk(key: Any, kid: str, /, **members: Any) -> dict[str, Any]:
    """A public or private key as it is published; `...` leaves a member out."""
    is_rsa = isinstance(key, RSAPrivateKey | RSAPublicKey)
    written = RSAAlgorithm.to_jwk(key, as_dict=True) if is_rsa else ECAlgorithm.to_jwk(key, as_dict=True)
    given = {**written, "kid": kid, "use": "sig", "alg": "RS256" if is_rsa else "ES256", **members}
    return {name: value for name, value in given.items() if value is not ...}


def jwk_set(**keys: PrivateKey) -> bytes:
    """The public halves of keys, by `kid`."""
    return json.dumps({"keys": [jwk(key.public_key(), kid) for kid, key in keys.items()]}).encode()


def certified(key: PrivateKey, kid: str | None = "k1", **claims: Any) -> str:
    """A token that is signed by a key that is not shared."""
    algorithm = "RS256" if isinstance(key, RSAPrivateKey) else "ES256"
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode({"sub": "ann", "exp": 2**32, **claims}, key, algorithm, headers=headers)


@attrs.define
class Publisher:
    """A server that publishes keys; what it answers can be changed, and held back."""

    url: str = ""
    status: int = 200
    answer: bytes = b""
    asked: int = 0
    # Cleared, it lets requests wait; they are counted before.
    free: threading.Event = attrs.field(factory=threading.Event)
