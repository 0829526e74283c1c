"""Building Sphinx packets in plain Python: requests, covers, SURBs and replies.

A route is h hops (1 to 6): `publics`, h keys of 32 bytes, and `targets`, the mixnode indices that hops 0 to h-2 forward to.
With a `peer_id` the last forward goes to it, so `targets` has h-2 indices. `entropy(n)` gives n random bytes. Bytes of the header
that no hop's action uses are random, so that the last hop cannot learn the length of the path; hence two builders never agree
byte for byte, and a built packet is checked by unwrapping it.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fastmix.packet.geometry import (
    ACTIONS_SIZE,
    HEADER_SIZE,
    MAC_SIZE,
    MAX_HOPS,
    PAYLOAD_TAG_SIZE,
    PEER_ID_SIZE,
    SURB_ID_SIZE,
    SURB_SIZE,
    Action,
    Geometry,
    geometry_named,
)
from fastmix.reference import lioness
from fastmix.reference.chacha20 import keystream, xor
from fastmix.reference.sphinx import Header, actions_mac, blinding_scalar, hop_keys, payload_key
from fastmix.reference.x25519 import x25519

Entropy = Callable[[int], bytes]
SURB_SECRET_SIZE = 32


@dataclass(frozen=True, slots=True)
class Hop:
    """What a builder knows of a hop: the `kx_public` that it will see, and their shared secret."""

    kx_public: bytes
    shared: bytes = field(repr=False)


def _code(action: int) -> bytes:
    """An action's code as in the packet: u16, little endian."""
    return action.to_bytes(2, "little")


def _sized(name: str, value: bytes, size: int) -> bytes:
    """`value`, or `ValueError` where it has not `size` bytes."""
    if len(value) != size:
        raise ValueError(f"{name} must be {size} bytes, not {len(value)}")
    return value


def forward_actions(publics: Sequence[bytes], targets: Sequence[int], peer_id: bytes | None) -> list[bytes]:
    """Actions of the hops before the last, without their macs; `ValueError` where the route is not one of the format."""
    forwards = len(publics) - 1 - (peer_id is not None)
    if not 1 <= len(publics) <= MAX_HOPS or forwards < 0:
        raise ValueError(f"a route has 1 to {MAX_HOPS} hops, at least 2 with a peer id; this one has {len(publics)}")
    if len(targets) != forwards:
        raise ValueError(f"this route needs {forwards} targets, not {len(targets)}")
    for target in targets:
        if not 0 <= target < Action.FORWARD_PEER:
            raise ValueError(f"a target is a mixnode index below {Action.FORWARD_PEER:#x}, not {target:#x}")
    actions = [_code(target) for target in targets]
    return actions if peer_id is None else [*actions, _code(Action.FORWARD_PEER) + _sized("peer_id", peer_id, PEER_ID_SIZE)]


def hops_along(publics: Sequence[bytes], secret: bytes) -> list[Hop]:
    """Key exchange with every hop: each one's blinding multiplies `kx_public` for those behind it (Sphinx section 3.2)."""
    hops: list[Hop] = []
    scalars = [secret]
    kx_public = x25519(secret)
    for public in publics:
        shared = public
        for scalar in scalars:
            shared = x25519(scalar, shared)
        hops.append(Hop(kx_public, shared))
        scalars.append(blinding_scalar(kx_public, shared))
        kx_public = x25519(scalars[-1], kx_public)
    return hops


def _filler(streams: list[bytes], sizes: list[int]) -> bytes:
    """What the hops before the last will have moved into the end of the actions: zeros under their keystreams."""
    filler = b""
    for stream, size in zip(streams, sizes, strict=True):
        filler = xor(filler + bytes(size), stream[ACTIONS_SIZE - len(filler) : ACTIONS_SIZE + size])
    return filler


def _last_actions(last: bytes, stream: bytes, filler: bytes, entropy: Entropy) -> bytes:
    """The encrypted actions as the last hop gets them: its action, random bytes, filler."""
    own = ACTIONS_SIZE - len(filler)
    plain = last + entropy(own - len(last))
    return xor(plain, stream[:own]) + filler


def build_header(hops: Sequence[Hop], forwards: Sequence[bytes], last: bytes, entropy: Entropy) -> Header:
    """The header that leads along `hops` and ends in the action `last`, from the last hop to the first."""
    keys = [hop_keys(hop.shared) for hop in hops]
    sizes = [len(action) + MAC_SIZE for action in forwards]
    streams = [keystream(key.actions_key, ACTIONS_SIZE + size) for key, size in zip(keys, [*sizes, 0], strict=True)]
    actions = _last_actions(last, streams[-1], _filler(streams[:-1], sizes), entropy)
    mac = actions_mac(keys[-1].mac_key, actions)
    for action, key, stream in reversed(list(zip(forwards, keys, streams, strict=False))):
        plain = (action + mac + actions)[:ACTIONS_SIZE]
        actions = xor(plain, stream[:ACTIONS_SIZE])
        mac = actions_mac(key.mac_key, actions)
    return Header(hops[0].kx_public, mac, actions)


def build_request(
    data: bytes,
    publics: Sequence[bytes],
    targets: Sequence[int],
    peer_id: bytes | None = None,
    entropy: Entropy = os.urandom,
    geometry: str | Geometry = "wan",
) -> bytes:
    """A packet that delivers `data` (exactly the geometry's data size) to the last hop."""
    _sized("data", data, geometry_named(geometry).data_size)
    forwards = forward_actions(publics, targets, peer_id)
    hops = hops_along(publics, entropy(32))
    header = build_header(hops, forwards, _code(Action.DELIVER_REQUEST), entropy)
    payload = data + bytes(PAYLOAD_TAG_SIZE)
    for hop in reversed(hops):
        payload = lioness.encrypt(payload_key(hop.shared), payload)
    return bytes(header) + payload


def build_cover(
    publics: Sequence[bytes],
    targets: Sequence[int],
    id: bytes | None = None,
    peer_id: bytes | None = None,
    entropy: Entropy = os.urandom,
    geometry: str | Geometry = "wan",
) -> bytes:
    """A packet that the last hop absorbs, with an id of 16 bytes or without; its payload is random."""
    forwards = forward_actions(publics, targets, peer_id)
    last = _code(Action.COVER) if id is None else _code(Action.COVER_ID) + _sized("id", id, SURB_ID_SIZE)
    header = build_header(hops_along(publics, entropy(32)), forwards, last, entropy)
    return bytes(header) + entropy(geometry_named(geometry).payload_size)


def build_surb(
    publics: Sequence[bytes],
    targets: Sequence[int],
    first: int,
    surb_id: bytes,
    peer_id: bytes | None = None,
    entropy: Entropy = os.urandom,
) -> tuple[bytes, list[bytes]]:
    """`(surb, keys)`: 222 bytes for whoever shall reply over mixnode `first`, and the h keys of 192 bytes that open the reply.

    The last hop, the maker of the SURB, leaves the payload alone: the first key is that of the SURB's secret, the others
    belong to the hops before the last.
    """
    forwards = forward_actions(publics, targets, peer_id)
    hops = hops_along(publics, entropy(32))
    last = _code(Action.DELIVER_REPLY) + _sized("surb_id", surb_id, SURB_ID_SIZE)
    header = build_header(hops, forwards, last, entropy)
    secret = entropy(SURB_SECRET_SIZE)
    keys = [payload_key(shared) for shared in (secret, *(hop.shared for hop in hops[:-1]))]
    return _code(first) + bytes(header) + secret, keys


def build_reply(data: bytes, surb: bytes, geometry: str | Geometry = "wan") -> tuple[int, bytes]:
    """`(first, packet)`: the mixnode index where the reply begins, and the packet, its payload *decrypted* once, as by a hop."""
    _sized("data", data, geometry_named(geometry).data_size)
    _sized("surb", surb, SURB_SIZE)
    header, secret = surb[2 : 2 + HEADER_SIZE], surb[2 + HEADER_SIZE :]
    payload = lioness.decrypt(payload_key(secret), data + bytes(PAYLOAD_TAG_SIZE))
    return int.from_bytes(surb[:2], "little"), header + payload
