"""A client's address: what somebody must know to send to it."""

import struct
from dataclasses import dataclass

from fastmix.errors import ConfigError
from fastmix.packet.geometry import KX_PUBLIC_SIZE, PEER_ID_SIZE

_FORMAT = struct.Struct(f"<{PEER_ID_SIZE}s{KX_PUBLIC_SIZE}sH")
ADDRESS_SIZE = _FORMAT.size


@dataclass(frozen=True, slots=True)
class Address:
    """Peer id (32 bytes), X25519 Sphinx key (32 bytes), and mixnode index of the exit."""

    peer_id: bytes
    sphinx_public: bytes
    exit_index: int

    def to_bytes(self) -> bytes:
        """66 bytes: peer id, key, exit's index u16 little endian."""
        return _FORMAT.pack(self.peer_id, self.sphinx_public, self.exit_index)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Address":
        """Reads `to_bytes`; `ConfigError` where the length is another."""
        if len(data) != ADDRESS_SIZE:
            raise ConfigError(f"a client's address has {ADDRESS_SIZE} bytes, not {len(data)}")
        return cls(*_FORMAT.unpack(data))

    def __str__(self) -> str:
        return self.to_bytes().hex()

    @classmethod
    def from_text(cls, text: str) -> "Address":
        """Reads `str(address)`, 132 hex digits; `ConfigError` for anything else."""
        try:
            return cls.from_bytes(bytes.fromhex(text))
        except ValueError:
            raise ConfigError(
                f"client address {text[:20]!r}… is not hexadecimal: copy it as the other client printed it"
            ) from None


def peer_id_of(peer_id: bytes | str) -> bytes:
    """The peer id as 32 bytes; `ConfigError` otherwise."""
    try:
        raw = bytes.fromhex(peer_id) if isinstance(peer_id, str) else peer_id
    except ValueError:
        raise ConfigError(f"peer id {peer_id!r} is not hexadecimal: it has 64 hex digits") from None
    if len(raw) != 32:
        raise ConfigError(f"a peer id has 32 bytes, not {len(raw)}")
    return raw
