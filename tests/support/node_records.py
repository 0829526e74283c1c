"""Identities and node records for tests of the directory and of the control plane."""

import random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fastmix.directory.document import Settings
from fastmix.directory.records import Instance, NodeRecord, Place

S = 10**9
NOW = 1_800_000_000 * S
NETWORK = b"n" * 16
SETTINGS = Settings(NETWORK, 1, "wan", 1, 50_000_000, 600 * S, 60 * S, 120 * S)


class Key:
    """An identity of the test's own."""

    def __init__(self, name: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(random.Random(name).randbytes(32))
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def record(key: Key, now_ns: int = NOW, **changes: object) -> NodeRecord:
    values: dict[str, object] = {
        "network": NETWORK, "identity": key.public, "issued_ns": now_ns, "valid_until_ns": now_ns + 90_000 * S, "wire": 1,
        "geometry": "wan", "control": Place("192.0.2.1", 9100), "capacity": 50_000, "certificate": b"c" * 300, "slot_ns": 600 * S,
        "early_ns": 60 * S, "late_ns": 120 * S, "instances": (Instance(Place("192.0.2.1", 9000), 3_000_000, bytes(64)),),
    }  # fmt: skip
    return NodeRecord(**(values | changes))  # type: ignore[arg-type]
