"""Wrappings: what keeps the key of a file. A passphrase here, a token in `pkcs11.py`, a TPM in `tpm.py`.

A wrapping turns 32 secret bytes into a blob that may lie on disk, and back. The blob holds all that is needed but the passphrase,
the PIN or the chip. A new kind of wrapping is one class with these methods and a name.
"""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from fastmix.errors import KeyStoreError
from fastmix.keys._chain import LockedBytes

KEY_SIZE = 32
"""Bytes of what is wrapped."""
TAG_SIZE = 16
NONCE = bytes(12)
"""Of ChaCha20-Poly1305 (RFC 8439) under keys that are used once."""
SALT_SIZE = 16
PASSPHRASE_BLOB = struct.Struct(f"<III{SALT_SIZE}s{KEY_SIZE + TAG_SIZE}s")
"""memory in KiB, passes, lanes, salt, the sealed key."""
LABEL = b"fastmix passphrase wrapping v1"
MEMORY_MAX_KIB, PASSES_MAX, LANES_MAX = 4 << 20, 64, 64
"""More than this is refused: a file must not be able to make the node use all memory for hours."""


class Wrapping(Protocol):
    """Keeps 32 secret bytes. Its methods raise `KeyStoreError`, whose text has problem and remedy but no file."""

    @property
    def name(self) -> str:
        """At most 16 ASCII characters; stands in the file, so that another kind of wrapping is told apart."""

    def wrap(self, secret: LockedBytes) -> bytes:
        """The blob for 32 secret bytes."""

    def unwrap(self, blob: bytes) -> LockedBytes:
        """The 32 secret bytes of a blob; the caller wipes them."""

    def problem(self) -> str | None:
        """Why it cannot be used at the moment, for the health of a running node; None where token or chip are there."""


@dataclass(frozen=True)
class Argon2Cost:
    """What a guess of the passphrase costs (Argon2id, RFC 9106): the defaults are 64 MiB and some 0.3 s."""

    memory_kib: int = 64 << 10
    passes: int = 3
    lanes: int = 4

    def check(self) -> None:
        """`KeyStoreError` where a number is not one that this program would write."""
        least = 8 * self.lanes
        if not (0 < self.lanes <= LANES_MAX and 0 < self.passes <= PASSES_MAX and least <= self.memory_kib <= MEMORY_MAX_KIB):
            raise KeyStoreError(
                f"Argon2id with {self.memory_kib} KiB, {self.passes} passes and {self.lanes} lanes is out of bounds: "
                "the file was altered; restore it with `fastmix keys import`"
            )


class PassphraseWrapping:
    """Argon2id over a passphrase, then ChaCha20-Poly1305; cost and salt stand in the blob and are authenticated."""

    name = "passphrase"

    def __init__(self, source: Callable[[], LockedBytes], cost: Argon2Cost | None = None) -> None:
        """`source` is asked for the passphrase once, when it is first needed; `cost` is that of new blobs."""
        self._source = source
        self._passphrase: LockedBytes | None = None
        self._cost = cost or Argon2Cost()

    def __enter__(self) -> "PassphraseWrapping":
        return self

    def __exit__(self, *_: object) -> None:
        """Overwrites the passphrase."""
        if self._passphrase is not None:
            self._passphrase.wipe()
            self._passphrase = None

    def wrap(self, secret: LockedBytes) -> bytes:
        """Under a fresh salt."""
        cost, salt = self._cost, os.urandom(SALT_SIZE)
        with self._key(cost, salt) as key:
            sealed = ChaCha20Poly1305(key.view).encrypt(NONCE, secret.view, associated(cost, salt))
        return PASSPHRASE_BLOB.pack(cost.memory_kib, cost.passes, cost.lanes, salt, sealed)

    def unwrap(self, blob: bytes) -> LockedBytes:
        """`KeyStoreError` where the passphrase is another; whoever altered the blob gets the same answer."""
        if len(blob) != PASSPHRASE_BLOB.size:
            raise KeyStoreError("the passphrase's part was altered: restore the file with `fastmix keys import`")
        *numbers, salt, sealed = PASSPHRASE_BLOB.unpack(blob)
        cost = Argon2Cost(*numbers)
        secret = LockedBytes(KEY_SIZE)
        with self._key(cost, salt) as key:
            try:
                ChaCha20Poly1305(key.view).decrypt_into(NONCE, sealed, associated(cost, salt), secret.view)
            except InvalidTag:
                secret.wipe()
                raise KeyStoreError("wrong passphrase: try again, or restore a backup with `fastmix keys import`") from None
        return secret

    def problem(self) -> str | None:
        """Nothing can be gone."""
        return None

    def _key(self, cost: Argon2Cost, salt: bytes) -> LockedBytes:
        """The key that a passphrase gives."""
        cost.check()
        if self._passphrase is None:
            self._passphrase = self._source()
        key = LockedBytes(KEY_SIZE)
        memory, passes, lanes = cost.memory_kib, cost.passes, cost.lanes
        kdf = Argon2id(salt=salt, length=KEY_SIZE, iterations=passes, lanes=lanes, memory_cost=memory, ad=LABEL)
        try:
            kdf.derive_into(cast(bytes, self._passphrase.view), key.view)  # its stub says bytes, it takes any buffer
        except MemoryError:
            raise KeyStoreError(f"Argon2id needs {cost.memory_kib >> 10} MiB of memory: free it, or lift the limit") from None
        return key


def associated(cost: Argon2Cost, salt: bytes) -> bytes:
    """What a passphrase's blob authenticates besides the key."""
    return LABEL + struct.pack("<III", cost.memory_kib, cost.passes, cost.lanes) + salt
