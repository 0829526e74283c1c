"""Sizes and offsets of the packet, the link frame and an arena row: the one wire file.

| bytes   | field       | Sphinx paper | |
|---------|-------------|--------------|---|
| 0..31   | `kx_public` | alpha        | X25519 public key, blinded at every hop |
| 32..47  | `mac`       | gamma        | keyed BLAKE2b-128 of `actions` |
| 48..187 | `actions`   | beta         | encrypted routing actions |
| 188..   | `payload`   | delta        | data, then a 16-byte zero tag; LIONESS, once a hop |

Frame: `receiver_index 4 | counter 8 | sealed(key_slot 1 | flags 1 | zero 2 | packet) | tag 16`. The C side is
`ext/include/fm_geometry.h`; `fastmix.kernels` compares the two at import.
"""

from dataclasses import dataclass
from enum import IntEnum

KX_PUBLIC_SIZE = 32
MAC_SIZE = 16
ACTIONS_SIZE = 140
MAC_AT = KX_PUBLIC_SIZE
ACTIONS_AT = MAC_AT + MAC_SIZE
HEADER_SIZE = ACTIONS_AT + ACTIONS_SIZE
PAYLOAD_TAG_SIZE = 16
MAX_HOPS = 6
ACTIONS_PAD_MAX = 50
PEER_ID_SIZE = 32
SURB_ID_SIZE = 16
TAG_SIZE = 16
PAYLOAD_KEY_SIZE = 192
SURB_SIZE = 2 + HEADER_SIZE + 32

FRAME_INDEX_AT = 0
FRAME_COUNTER_AT = 4
FRAME_SEALED_AT = 12
FRAME_PACKET_AT = 16
FRAME_TAG_SIZE = 16
FRAME_OVERHEAD = FRAME_PACKET_AT + FRAME_TAG_SIZE

WINDOW_SIZE = 8192
BATCH_MAX = 256
COUNTER_END = 1 << 31
"""A link root ends when its step or its seq reaches this."""


class Action(IntEnum):
    """Routing actions of the packet format; a smaller code forwards to the mixnode of that index."""

    FORWARD_PEER = 0xFF00
    DELIVER_REQUEST = 0xFF01
    DELIVER_REPLY = 0xFF02
    COVER = 0xFF03
    COVER_ID = 0xFF04


@dataclass(frozen=True, slots=True)
class Geometry:
    """One network-wide choice of sizes, in bytes. `code` is its number in key derivations."""

    name: str
    code: int
    data_size: int

    @property
    def payload_size(self) -> int:
        """Data and its zero tag."""
        return self.data_size + PAYLOAD_TAG_SIZE

    @property
    def packet_size(self) -> int:
        """Header and payload."""
        return HEADER_SIZE + self.payload_size

    @property
    def frame_size(self) -> int:
        """What a datagram holds: the packet and 32 bytes of link frame."""
        return self.packet_size + FRAME_OVERHEAD

    @property
    def row_stride(self) -> int:
        """Bytes between arena rows: the frame, rounded up to whole cache lines of 64."""
        return -(-self.frame_size // 64) * 64


WAN = Geometry("wan", 1, 996)
"""Packet 1,200; with frame, UDP and IPv6 headers 1,280 bytes, so it is never fragmented."""
JUMBO = Geometry("jumbo", 2, 2048)
"""Packet 2,252: byte for byte the published format."""
GEOMETRIES = {geometry.name: geometry for geometry in (WAN, JUMBO)}


def geometry_named(name: str | Geometry) -> Geometry:
    """The geometry of that name; `ValueError` names the choices."""
    if isinstance(name, Geometry):
        return name
    try:
        return GEOMETRIES[name]
    except KeyError:
        raise ValueError(f"geometry {name!r} is not known: use one of {', '.join(GEOMETRIES)}") from None
