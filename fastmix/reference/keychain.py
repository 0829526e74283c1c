"""The chain of mix keys in plain Python: a forward-secure generator (Bellare and Yee 2003) of keyed BLAKE2b."""

from fastmix.reference.aead import open_sealed, seal
from fastmix.reference.blake2b import blake2b
from fastmix.reference.x25519 import x25519

ID_SIZE = 16
CLEAR_SIZE = ID_SIZE + 8
"""Id and slot, which a sealed chain shows."""


def secret_of(state: bytes, slot: int) -> bytes:
    """The X25519 secret of the slot that the chain is at."""
    return blake2b(slot.to_bytes(8, "little"), 32, key=state, personal=b"fastmix-mix-key")


def advance(state: bytes) -> bytes:
    """The state one slot on, from which the one before cannot be computed."""
    return blake2b(b"", 32, key=state, personal=b"fastmix-advance")


def secrets(state: bytes, first: int, n: int) -> list[bytes]:
    """Those of slots `first` to `first + n - 1`, if the state is at `first`."""
    found = []
    for slot in range(first, first + n):
        found.append(secret_of(state, slot))
        state = advance(state)
    return found


def publics(state: bytes, first: int, n: int) -> list[bytes]:
    """The X25519 publics of the same slots."""
    return [x25519(secret) for secret in secrets(state, first, n)]


def seal_chain(state: bytes, chain_id: bytes, slot: int, key: bytes, nonce: bytes, aad: bytes = b"") -> bytes:
    """Id, slot, encrypted state, tag."""
    clear = chain_id + slot.to_bytes(8, "little")
    return clear + seal(key, nonce, state, aad + clear)


def open_chain(sealed: bytes, key: bytes, nonce: bytes, aad: bytes = b"") -> tuple[bytes, bytes, int] | None:
    """(state, id, slot), or None where the tag is wrong."""
    clear = sealed[:CLEAR_SIZE]
    state = open_sealed(key, nonce, sealed[CLEAR_SIZE:], aad + clear)
    return None if state is None else (state, clear[:ID_SIZE], int.from_bytes(clear[ID_SIZE:], "little"))
