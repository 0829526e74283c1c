"""Random routes, packets of every kind along them, and the walk that shows that each hop learns what it should."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmix import sphinx
from fastmix.packet.geometry import HEADER_SIZE, Action, geometry_named
from fastmix.packet.verdict import Verdict

KINDS = ("request", "cover", "cover_id", "reply")
PATHS = [(hops, with_peers) for hops in range(1, 7) for with_peers in (False, True) if hops > 1 or not with_peers]
"""Every number of hops, each without and (from two on) with a peer id at the end."""


@dataclass
class Routes:
    """n routes of h hops. `secrets` and `publics` u8[n, h, 32]; with `peer_ids`, `targets` is one shorter."""

    secrets: Any
    publics: Any
    targets: Any
    peer_ids: Any
    first: Any
    ids: Any


@dataclass
class Built:
    """Packets u8[n, P], the `kx_public` that each hop receives, and what they carry."""

    kind: str
    geometry: str
    packets: Any
    kx_publics: Any
    data: Any
    keys: Any = None


def random_routes(rng: np.random.Generator, n: int, hops: int, with_peers: bool, one_path: bool = False) -> Routes:
    """With `one_path`, all rows have the same hops' keys, so that a hop can unwrap them in one batch."""
    paths = 1 if one_path else n
    secrets, publics = sphinx.keypairs(paths * hops, entropy=rng.bytes(16))
    shape = (n, hops, 32)
    return Routes(
        np.broadcast_to(secrets.reshape(paths, hops, 32), shape),
        np.broadcast_to(publics.reshape(paths, hops, 32), shape),
        rng.integers(0, 0xFF00, (n, hops - 1 - with_peers), dtype=np.uint16),
        rng.integers(0, 256, (n, 32), dtype=np.uint8) if with_peers else None,
        rng.integers(0, 0xFF00, n, dtype=np.uint16),
        rng.integers(0, 256, (n, 16), dtype=np.uint8),
    )


def build(kind: str, routes: Routes, geometry: str, rng: np.random.Generator, entropy: bytes | None = None) -> Built:
    """Packets of one kind along the routes; replies are made from fresh SURBs."""
    n, hops, _ = routes.publics.shape
    data = rng.integers(0, 256, (n, geometry_named(geometry).data_size), dtype=np.uint8)
    kx_publics = np.zeros((n, hops, 32), np.uint8)
    where: dict[str, Any] = {"peer_ids": routes.peer_ids, "geometry": geometry, "entropy": entropy, "kx_publics": kx_publics}
    if kind == "request":
        return Built(kind, geometry, sphinx.build_requests(data, routes.publics, routes.targets, **where), kx_publics, data)
    if kind == "reply":
        surbs, keys = sphinx.build_surbs(routes.publics, routes.targets, routes.first, routes.ids, **where)
        first, packets = sphinx.build_replies(data, surbs, geometry=geometry)
        assert (first == routes.first).all()
        return Built(kind, geometry, packets, kx_publics, data, keys)
    ids = routes.ids if kind == "cover_id" else None
    return Built(kind, geometry, sphinx.build_covers(routes.publics, routes.targets, ids=ids, **where), kx_publics, data)


LAST_ACTION = {
    "request": Action.DELIVER_REQUEST,
    "cover": Action.COVER,
    "cover_id": Action.COVER_ID,
    "reply": Action.DELIVER_REPLY,
}


def walk_row(built: Built, routes: Routes, row: int, unwrap: Callable[..., Any]) -> None:
    """One packet through `unwrap(packet, secret, geometry)` of the twins or the oracle, hop by hop to its end."""
    packet, hops = built.packets[row].tobytes(), routes.publics.shape[1]
    for hop in range(hops):
        assert packet[:32] == built.kx_publics[row, hop].tobytes()
        seen = unwrap(packet, routes.secrets[row, hop].tobytes(), built.geometry)
        assert seen.verdict == Verdict.OK
        packet = seen.packet
        if hop == hops - 1:
            break
        if routes.peer_ids is not None and hop == hops - 2:
            assert (seen.action, seen.peer_id) == (Action.FORWARD_PEER, routes.peer_ids[row].tobytes())
        else:
            assert seen.action == seen.next_index == routes.targets[row, hop]
    assert seen.action == LAST_ACTION[built.kind]
    has_id = built.kind in ("cover_id", "reply")
    assert seen.surb_id == (routes.ids[row].tobytes() if has_id else bytes(16))
    if built.kind == "request":
        assert packet[: built.data.shape[1]] == built.data[row].tobytes()
    if built.kind == "reply":
        payload = np.frombuffer(packet, np.uint8)[np.newaxis]
        ok, data = sphinx.open_replies(payload, built.keys[row : row + 1], geometry=built.geometry)
        assert ok[0]
        assert (data[0] == built.data[row]).all()


def walk_batch(built: Built, routes: Routes) -> None:
    """All packets of routes made with `one_path` through the C unwrap, a batch a hop."""
    packets, (n, hops, _) = built.packets, routes.publics.shape
    seen = None
    for hop in range(hops):
        assert (packets[:, :32] == built.kx_publics[:, hop]).all()
        secret = routes.secrets[0, hop] if n else bytes(32)
        seen = sphinx.unwrap(packets, secret, geometry=built.geometry)
        packets = seen.packets
        assert (seen.verdict == Verdict.OK).all()
        if hop == hops - 1:
            break
        if routes.peer_ids is not None and hop == hops - 2:
            assert (seen.action == Action.FORWARD_PEER).all()
            assert (seen.peer_id == routes.peer_ids).all()
        else:
            assert (seen.next_index == routes.targets[:, hop]).all()
    assert seen is not None
    assert (seen.action == LAST_ACTION[built.kind]).all()
    _check_end(built, routes, seen, packets)


def _check_end(built: Built, routes: Routes, seen: sphinx.Unwrapped, packets: Any) -> None:
    assert (seen.surb_id == (routes.ids if built.kind in ("cover_id", "reply") else 0)).all()
    data_size = built.data.shape[1]
    if built.kind == "request":
        assert (packets[:, :data_size] == built.data).all()
        assert not packets[:, data_size:].any()
    if built.kind == "reply":
        ok, data = sphinx.open_replies(packets[:, : packets.shape[1] - HEADER_SIZE], built.keys, geometry=built.geometry)
        assert ok.all()
        assert (data == built.data).all()
