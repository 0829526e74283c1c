"""One hop of a Sphinx packet in plain Python, and the end of a reply's way.

The order is the node's: canonical `kx_public`, X25519, zero check, MAC, subgroup where asked, replay tag; then
actions, blinding, payload, delay.
"""

from dataclasses import dataclass

from fastmix.packet.geometry import (
    ACTIONS_PAD_MAX,
    ACTIONS_SIZE,
    HEADER_SIZE,
    MAC_SIZE,
    PAYLOAD_TAG_SIZE,
    PEER_ID_SIZE,
    SURB_ID_SIZE,
    TAG_SIZE,
    Action,
    Geometry,
    geometry_named,
)
from fastmix.packet.verdict import Verdict
from fastmix.reference import lioness
from fastmix.reference.chacha20 import encrypt as chacha20
from fastmix.reference.delay import delay
from fastmix.reference.sphinx import (
    Header,
    HopKeys,
    actions_mac,
    blinding_scalar,
    header_of,
    hop_keys,
    payload_key,
    replay_tag,
)
from fastmix.reference.subgroup import in_subgroup
from fastmix.reference.x25519 import is_canonical, x25519

NO_REPLAY_KEY = bytes(32)


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """What a hop learns from one packet. After a drop everything but the verdict is zero or empty.

    `packet` is the next hop's packet, or for a delivery the payload field (data, then the tag), or empty for a cover. `action` is
    the code of the format (below 0xff00 it is `next_index` itself), `delay` has mean 1 and is 0 where nothing is forwarded.
    """

    verdict: Verdict
    action: int = 0
    next_index: int = 0
    peer_id: bytes = bytes(PEER_ID_SIZE)
    surb_id: bytes = bytes(SURB_ID_SIZE)
    delay: float = 0.0
    tag: bytes = bytes(TAG_SIZE)
    packet: bytes = b""


def unwrap(
    packet: bytes,
    secret: bytes,
    geometry: str | Geometry = "wan",
    *,
    replay_key: bytes = NO_REPLAY_KEY,
    strict_kx: bool = False,
) -> Unwrapped:
    """Takes one layer off `packet` with the node's 32-byte `secret`. Only a wrong length raises; a bad packet is a verdict."""
    size = geometry_named(geometry).packet_size
    if len(packet) != size:
        raise ValueError(f"a packet of this geometry is {size} bytes, not {len(packet)}")
    header = header_of(packet)
    if not is_canonical(header.kx_public):
        return Unwrapped(Verdict.DROP_KX_NON_CANONICAL)
    shared = x25519(secret, header.kx_public)
    if shared == bytes(32):
        return Unwrapped(Verdict.DROP_KX_LOW_ORDER)
    keys = hop_keys(shared)
    if actions_mac(keys.mac_key, header.actions) != header.mac:
        return Unwrapped(Verdict.DROP_MAC)
    if strict_kx and not in_subgroup(header.kx_public):
        return Unwrapped(Verdict.DROP_KX_SUBGROUP)
    return _apply(header, packet[HEADER_SIZE:], shared, keys, replay_tag(replay_key, shared))


def _apply(header: Header, payload: bytes, shared: bytes, keys: HopKeys, tag: bytes) -> Unwrapped:
    """Decrypts the actions and does what the first of them says."""
    actions = chacha20(keys.actions_key, header.actions + bytes(ACTIONS_PAD_MAX))
    action = int.from_bytes(actions[:2], "little")
    ident = actions[2 : 2 + SURB_ID_SIZE]
    if action <= Action.FORWARD_PEER:
        return _forward(header, payload, shared, keys, tag, actions)
    if action == Action.DELIVER_REQUEST:
        data = lioness.decrypt(payload_key(shared), payload)
        if data[-PAYLOAD_TAG_SIZE:] != bytes(PAYLOAD_TAG_SIZE):
            return Unwrapped(Verdict.DROP_PAYLOAD_TAG)
        return Unwrapped(Verdict.OK, action, tag=tag, packet=data)
    if action == Action.DELIVER_REPLY:
        return Unwrapped(Verdict.OK, action, surb_id=ident, tag=tag, packet=payload)
    if action == Action.COVER:
        return Unwrapped(Verdict.OK, action, tag=tag)
    if action == Action.COVER_ID:
        return Unwrapped(Verdict.OK, action, surb_id=ident, tag=tag)
    return Unwrapped(Verdict.DROP_ACTION)


def _forward(header: Header, payload: bytes, shared: bytes, keys: HopKeys, tag: bytes, actions: bytes) -> Unwrapped:
    """The packet for the next hop: the first action is cut off, so the end of the extension moves into the 140 bytes."""
    action = int.from_bytes(actions[:2], "little")
    to_peer = action == Action.FORWARD_PEER
    mac_at = 2 + (PEER_ID_SIZE if to_peer else 0)
    next_at = mac_at + MAC_SIZE
    following = Header(
        kx_public=x25519(blinding_scalar(header.kx_public, shared), header.kx_public),
        mac=actions[mac_at:next_at],
        actions=actions[next_at : next_at + ACTIONS_SIZE],
    )
    return Unwrapped(
        Verdict.OK,
        action,
        next_index=0 if to_peer else action,
        peer_id=actions[2:mac_at] if to_peer else bytes(PEER_ID_SIZE),
        delay=delay(keys.delay_seed),
        tag=tag,
        packet=bytes(following) + lioness.decrypt(payload_key(shared), payload),
    )


def open_reply(payload: bytes, keys: list[bytes]) -> bytes | None:
    """The data of a delivered reply, or None where its tag is wrong. `keys` are those that came with the SURB, 192 bytes each."""
    for key in reversed(keys):
        payload = lioness.encrypt(key, payload)
    data, tag = payload[:-PAYLOAD_TAG_SIZE], payload[-PAYLOAD_TAG_SIZE:]
    return data if tag == bytes(PAYLOAD_TAG_SIZE) else None
