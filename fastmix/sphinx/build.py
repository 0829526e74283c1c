"""Building packets and SURBs, and key pairs."""

import hashlib

import numpy as np

from fastmix.kernels import _build
from fastmix.packet.geometry import (
    MAX_HOPS,
    PAYLOAD_KEY_SIZE,
    PEER_ID_SIZE,
    SURB_ID_SIZE,
    SURB_SIZE,
    Action,
    Geometry,
    geometry_named,
)
from fastmix.sphinx.arrays import Bytes, Indices, checked, writable

__all__ = ["build_covers", "build_requests", "build_surbs", "keypairs"]


def keypairs(n: int, *, entropy: bytes | None = None) -> tuple[Bytes, Bytes]:
    """`(secrets u8[n, 32], publics u8[n, 32])`: X25519 pairs (RFC 7748). The secrets are the caller's to wipe."""
    if not isinstance(n, (int, np.integer)):
        raise TypeError(f"n must be an int, not {type(n).__name__}")
    if n < 0:
        raise ValueError(f"n must not be negative; it is {n}")
    secrets, publics = np.empty((n, 32), np.uint8), np.empty((n, 32), np.uint8)
    _build.keypairs(_seed(entropy, "keypairs"), secrets, publics)
    return secrets, publics


def build_requests(
    data: Bytes,
    publics: Bytes,
    targets: Indices,
    *,
    peer_ids: Bytes | None = None,
    geometry: str | Geometry = "wan",
    entropy: bytes | None = None,
    kx_publics: Bytes | None = None,
) -> Bytes:
    """Packets u8[n, P] that carry `data` u8[n, D] over h hops to be delivered as requests at the last.

    `publics` u8[n, h, 32] are the hops' keys. `targets` u16[n, h-1] are the mixnode indices (below 0xff00) of the hops after the
    first, which the caller sends to. With `peer_ids` u8[n, 32] (h >= 2) the last forward goes to that peer instead, and
    `targets` is u16[n, h-2]. `kx_publics`, if given, is filled with the `kx_public` that each hop receives, u8[n, h, 32].
    """
    chosen = geometry_named(geometry)
    n, _ = _rows_and_hops(publics)
    data = checked("data", data, np.uint8, n, chosen.data_size)
    route = _Route(publics, targets, peer_ids, Action.DELIVER_REQUEST, None, entropy, "requests", kx_publics)
    return route.packets(data, chosen)


def build_covers(
    publics: Bytes,
    targets: Indices,
    *,
    ids: Bytes | None = None,
    peer_ids: Bytes | None = None,
    geometry: str | Geometry = "wan",
    entropy: bytes | None = None,
    kx_publics: Bytes | None = None,
) -> Bytes:
    """Packets u8[n, P] that the last hop drops; with `ids` u8[n, 16] it learns that id. Their payload is random bytes.

    Routes and `kx_publics` as in `build_requests`.
    """
    chosen = geometry_named(geometry)
    action = Action.COVER if ids is None else Action.COVER_ID
    return _Route(publics, targets, peer_ids, action, ids, entropy, "covers", kx_publics).packets(None, chosen)


def build_surbs(
    publics: Bytes,
    targets: Indices,
    first: Indices,
    surb_ids: Bytes,
    *,
    peer_ids: Bytes | None = None,
    geometry: str | Geometry = "wan",
    entropy: bytes | None = None,
    kx_publics: Bytes | None = None,
) -> tuple[Bytes, Bytes]:
    """`(surbs u8[n, 222], keys u8[n, h, 192])`: single-use reply blocks, and what opens their replies (`open_replies`).

    `first` u16[n] is the mixnode index of each route's first hop, to which the reply's sender sends; `surb_ids` u8[n, 16]
    is what the last hop, their maker, sees. Routes and `kx_publics` as in `build_requests`. A SURB is the same in both
    geometries.
    """
    geometry_named(geometry)
    n, hops = _rows_and_hops(publics)
    first = _indices("first", first, n)
    route = _Route(publics, targets, peer_ids, Action.DELIVER_REPLY, surb_ids, entropy, "surbs", kx_publics)
    surbs, keys = np.empty((n, SURB_SIZE), np.uint8), np.empty((n, hops, PAYLOAD_KEY_SIZE), np.uint8)
    _build.build_surbs(route.c, first, surbs, keys)
    route.raise_faults()
    return surbs, keys


class _Route:
    """Checked routes of n packets, bound for C."""

    def __init__(
        self,
        publics: Bytes,
        targets: Indices,
        peer_ids: Bytes | None,
        action: Action,
        ids: Bytes | None,
        entropy: bytes | None,
        builder: str,
        kx_publics: Bytes | None,
    ) -> None:
        self.n, hops = _rows_and_hops(publics)
        publics = checked("publics", publics, np.uint8, self.n, hops, 32)
        if peer_ids is not None:
            if hops < 2:
                raise ValueError(f"a route to a peer id has at least 2 hops; publics has {hops}")
            peer_ids = checked("peer_ids", peer_ids, np.uint8, self.n, PEER_ID_SIZE)
        targets = _indices("targets", targets, self.n, hops - (1 if peer_ids is None else 2))
        if action in (Action.COVER_ID, Action.DELIVER_REPLY):
            ids = checked("ids" if action is Action.COVER_ID else "surb_ids", ids, np.uint8, self.n, SURB_ID_SIZE)
        if kx_publics is not None:
            kx_publics = writable("kx_publics", kx_publics, self.n, hops, 32)
        self.faults = np.zeros(self.n, np.uint8)
        seed = _seed(entropy, builder)
        self.c = _build.Route(publics, targets, peer_ids, int(action), ids, seed, kx_publics, self.faults)

    def packets(self, data: Bytes | None, geometry: Geometry) -> Bytes:
        """The packets of these routes, u8[n, P]."""
        packets = np.empty((self.n, geometry.packet_size), np.uint8)
        _build.build_packets(self.c, data, packets)
        self.raise_faults()
        return packets

    def raise_faults(self) -> None:
        """`ValueError` for the first public key with which no packet can be built."""
        bad = np.flatnonzero(self.faults)
        if not bad.size:
            return
        row, fault = int(bad[0]), int(self.faults[bad[0]])
        if fault >= _build.FM_FAULT_LOW_ORDER:
            wrong, hop = "has low order, so everyone knows the secret shared with it", fault - _build.FM_FAULT_LOW_ORDER
        else:
            wrong, hop = "is not the canonical encoding of a field element", fault - _build.FM_FAULT_NON_CANONICAL
        raise ValueError(f"publics[{row}, {hop}] (row {row}, hop {hop}) {wrong}: it is no X25519 public key")


def _rows_and_hops(publics: Bytes) -> tuple[int, int]:
    """n and h of `publics`."""
    n, hops, _ = checked("publics", publics, np.uint8, "n", "h", 32).shape
    if not 1 <= hops <= MAX_HOPS:
        raise ValueError(f"publics must be u8[n, h, 32] with h = 1 to {MAX_HOPS} hops; h is {hops}")
    return n, hops


def _indices(name: str, value: Indices, *shape: int) -> Indices:
    """Mixnode indices of `shape`; `ValueError` for one that is an action code of the format."""
    given = checked(name, value, np.uint16, *shape)
    wrong = np.argwhere(given >= Action.FORWARD_PEER)
    if wrong.size:
        at = ", ".join(map(str, wrong[0]))
        raise ValueError(f"{name}[{at}] is {given[tuple(wrong[0])]:#x}: a mixnode index is below {int(Action.FORWARD_PEER):#x}")
    return given


def _seed(entropy: bytes | None, builder: str) -> _build.Seed:
    """From the kernel, or of `entropy` under the builder's name."""
    if entropy is None:
        return _build.Seed()
    if not isinstance(entropy, bytes):
        raise TypeError(f"entropy must be bytes or None, not {type(entropy).__name__}")
    if not entropy:
        raise ValueError("entropy is empty: give at least one byte, or None for the kernel's")
    return _build.Seed(hashlib.blake2b(entropy, digest_size=32, person=f"fastmix-{builder}".encode()).digest())
