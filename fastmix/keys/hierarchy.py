"""What hangs off the identity seed: the Ed25519 identity, the TLS key, storage keys.

    seed, 32 random bytes ── HKDF-SHA256, no salt ──┬─ labels.IDENTITY ─▶ Ed25519 seed ─▶ signs descriptors
                                                    ├─ labels.TLS      ─▶ Ed25519 seed of the TLS certificate
                                                    └─ labels.STORAGE  ─▶ storage keys, by purpose

Seed and storage keys lie in locked memory. The two Ed25519 keys are OpenSSL's, which wipes but does not lock them.
"""

from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fastmix.errors import KeyStoreError
from fastmix.files.toml import suggestion
from fastmix.keys import labels
from fastmix.keys._chain import LockedBytes

SEED_SIZE = 32
"""Bytes of the seed, and of each key derived from it."""


class Identity:
    """A node's identity. It owns the seed; `wipe` (or the end of a `with`) ends both. It cannot be copied or pickled."""

    @staticmethod
    def fresh() -> "Identity":
        """A new one, from the kernel's generator."""
        return Identity(LockedBytes(SEED_SIZE).fill_random())

    def __init__(self, seed: LockedBytes) -> None:
        """From 32 secret bytes; `KeyStoreError` where they are another number, or all zeros."""
        if len(seed.view) != SEED_SIZE:
            raise KeyStoreError(f"an identity seed has {SEED_SIZE} bytes, not {len(seed.view)}: use one that fastmix has made")
        if not any(seed.view):
            raise KeyStoreError("an identity seed of zeros is nobody's: make a new identity with `fastmix keys init`")
        self.seed = seed
        with derived(seed, labels.IDENTITY) as secret:
            self._signing: Ed25519PrivateKey | None = Ed25519PrivateKey.from_private_bytes(secret.view)
            self.public: bytes = self._signing.public_key().public_bytes_raw()
            """The Ed25519 public key, 32 bytes: the node's name to everybody."""

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature (RFC 8032), 64 bytes; `ValueError` once it is wiped."""
        if self._signing is None:
            raise ValueError("this identity has been wiped")
        return self._signing.sign(data)

    def tls_private_key(self) -> Ed25519PrivateKey:
        """The key of the TLS certificate."""
        with derived(self.seed, labels.TLS) as secret:
            return Ed25519PrivateKey.from_private_bytes(secret.view)

    def storage_key(self, purpose: str) -> LockedBytes:
        """The storage key of a purpose in `labels.STORAGE`, 32 bytes; the caller wipes it. `KeyError` names an unknown one."""
        if purpose not in labels.STORAGE:
            raise KeyError(f"{purpose!r} is no purpose of a storage key: {suggestion(purpose, labels.STORAGE)}")
        return derived(self.seed, labels.STORAGE[purpose])

    def wipe(self) -> None:
        """Overwrites the seed and lets the identity key go."""
        self.seed.wipe()
        self._signing = None

    def __enter__(self) -> "Identity":
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return f"Identity({self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an identity is neither copied nor pickled: hand it on, or open its store again")


def derived(seed: LockedBytes, label: bytes) -> LockedBytes:
    """HKDF-SHA256 (RFC 5869) of the seed under a label, without salt: 32 bytes, written straight into locked memory."""
    key = LockedBytes(SEED_SIZE)
    HKDF(SHA256(), SEED_SIZE, None, label).derive_into(seed.view, key.view)
    return key
