"""The forward-secure chain of mix keys, and locked memory for other secrets; `_chain.pyx` has the words."""

from types import TracebackType

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

SEALED_SIZE: int
SKIP_MAX: int

class LockedBytes:
    """`size` bytes of locked memory: never swapped, dumped or inherited, wiped at the end. A writable buffer."""

    def __init__(self, size: int) -> None:
        """Zeros. `ResourceExhausted` where the limit on locked memory is too small."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __enter__(self) -> LockedBytes: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
    @property
    def view(self) -> memoryview:
        """The bytes, writable; `ValueError` once they are wiped."""

    @property
    def is_live(self) -> bool:
        """False once wiped, and in a forked child."""

    def fill_random(self) -> LockedBytes:
        """Fills it from the kernel's generator; gives itself."""

    def wipe(self) -> None:
        """Overwrites the bytes. Views of them stay valid and see zeros."""

class Chain:
    """The chain of a node's mix keys, at one slot: gives secrets of that slot and later ones, never of earlier ones."""

    @staticmethod
    def fresh(first_slot: int, seed: Buffer | None = None) -> Chain:
        """A new chain from `first_slot` on: from the kernel's generator, or from `seed` (state 32, id 16)."""

    def copy(self) -> Chain:
        """Another chain at the same slot, in memory of its own."""

    @property
    def is_live(self) -> bool:
        """False once wiped, and in a forked child."""

    @property
    def slot(self) -> int:
        """The slot whose secret is next."""

    @property
    def id(self) -> bytes:
        """16 random bytes, public: the same along the chain, another for each chain."""

    def publics(self, n: int) -> npt.NDArray[np.uint8]:
        """The X25519 publics of the next n slots, u8[n, 32]; the chain stays where it is."""

    def take(self, into: Buffer) -> None:
        """Writes the secret of `slot` into 32 bytes of the caller's, and advances past it."""

    def skip_to(self, slot: int) -> None:
        """Advances to `slot`; `ValueError` backwards, or more than `SKIP_MAX` ahead."""

    def seal(self, key: Buffer, nonce: Buffer, aad: Buffer = b"") -> bytes:
        """The chain as `SEALED_SIZE` bytes under a key (32) and a nonce (12) that it is never used with again."""

    @staticmethod
    def open(sealed: Buffer, key: Buffer, nonce: Buffer, aad: Buffer = b"") -> Chain:
        """The chain that `seal` has written. `CryptoError` where a byte of anything differs."""

    def wipe(self) -> None:
        """Overwrites the chain: no secret can be had from it any more."""

def public_of(secret: Buffer) -> bytes:
    """The X25519 public of a secret (32), which is read where it lies; 32 bytes."""
