"""What building and unwrapping a Sphinx packet share: keys from the shared secret, and the MAC of a header.

Packet: `kx_public 32 | mac 16 | actions 140 | payload` (alpha, beta, gamma, delta of Danezis and Goldberg 2009, with the mac
before the actions), in the profile of the Substrate mixnet specification. Builders: `sphinx_build`; a hop: `sphinx_unwrap`.
"""

from dataclasses import dataclass, field

from fastmix.packet.geometry import ACTIONS_AT, ACTIONS_SIZE, HEADER_SIZE, KX_PUBLIC_SIZE, MAC_AT, MAC_SIZE, TAG_SIZE
from fastmix.reference.blake2b import blake2b
from fastmix.reference.x25519 import x25519

SMALL_PERSONAL = b"sphinx-small-d-s"
PAYLOAD_PERSONAL = b"sphinx-pl-en-key"
BLINDING_PERSONAL = b"sphinx-blind-fac"
REPLAY_PERSONAL = b"sphinx-replay-tg"


@dataclass(frozen=True, slots=True)
class HopKeys:
    """What a hop's shared secret gives: `mac_key` 16, `actions_key` 32, `delay_seed` 16 bytes."""

    mac_key: bytes = field(repr=False)
    actions_key: bytes = field(repr=False)
    delay_seed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Header:
    """The first 188 bytes of a packet."""

    kx_public: bytes
    mac: bytes
    actions: bytes

    def __bytes__(self) -> bytes:
        return self.kx_public + self.mac + self.actions


def header_of(packet: bytes) -> Header:
    """The header of a packet of any size from 188 bytes on."""
    return Header(packet[:KX_PUBLIC_SIZE], packet[MAC_AT : MAC_AT + MAC_SIZE], packet[ACTIONS_AT:HEADER_SIZE])


def keypair(secret: bytes) -> tuple[bytes, bytes]:
    """`(secret, public)` of 32 secret bytes."""
    return secret, x25519(secret)


def derived(personal: bytes, number: int, shared: bytes) -> bytes:
    """64 bytes from a shared secret: keyed BLAKE2b-512 of the empty message, the number (little endian) as salt."""
    return blake2b(b"", size=64, key=shared, salt=number.to_bytes(16, "little"), personal=personal)


def hop_keys(shared: bytes) -> HopKeys:
    """The small secrets of one hop."""
    small = derived(SMALL_PERSONAL, 0, shared)
    return HopKeys(mac_key=small[:16], actions_key=small[16:48], delay_seed=small[48:])


def payload_key(shared: bytes) -> bytes:
    """The LIONESS key, 192 bytes, of one hop or of a SURB's secret."""
    return b"".join(derived(PAYLOAD_PERSONAL, number, shared) for number in range(3))


def blinding_scalar(kx_public: bytes, shared: bytes) -> bytes:
    """The 32 bytes by which (clamped, as X25519 does) `kx_public` is multiplied before it goes on."""
    return blake2b(b"", size=32, key=kx_public + shared, personal=BLINDING_PERSONAL)


def actions_mac(mac_key: bytes, actions: bytes) -> bytes:
    """The 16-byte MAC over the encrypted actions."""
    if len(actions) != ACTIONS_SIZE:
        raise ValueError(f"the actions of a packet are {ACTIONS_SIZE} bytes, not {len(actions)}")
    return blake2b(actions, size=MAC_SIZE, key=mac_key)


def replay_tag(replay_key: bytes, shared: bytes) -> bytes:
    """The 16 bytes that the replay set remembers: BLAKE2b-128 of the shared secret (never of packet bytes: 16 encodings of one
    kx_public give the same secret), keyed by the 32 random bytes of the node's table."""
    return blake2b(shared, size=TAG_SIZE, key=replay_key, personal=REPLAY_PERSONAL)
