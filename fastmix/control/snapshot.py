"""Writes the snapshot: what the data plane may use, whole, into the copy that is not current, then makes it current."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.config import pool_room
from fastmix.errors import ResourceExhausted
from fastmix.links.static import LinkRoot
from fastmix.network import Network, link_id
from fastmix.seam.address import pack_address
from fastmix.seam.layout import CLASSES_MAX, FIXED_SLOT, KEYS_MAX, LINKS_MAX, NEVER_NS, NO_LINK
from fastmix.seam.memory import Region

BURST_NS = 1_000_000_000
"""A client may be so far ahead of its rate."""
MASK_PERSONAL = b"fastmix-mask-key"


@dataclass(frozen=True, slots=True)
class SnapshotKey:
    """A live key: the id of its pair, its slot of time, and when it is accepted, in ns of CLOCK_BOOTTIME."""

    id: bytes
    slot: int = FIXED_SLOT
    from_ns: int = 0
    until_ns: int = NEVER_NS

    @property
    def key_slot(self) -> int:
        """The byte in the frames of its packets."""
        return 0 if self.slot == FIXED_SLOT else self.slot & 0xFF

    def no_later(self, before: "SnapshotKey") -> "SnapshotKey":
        """The same key, which neither opens nor ends later than it was to `before`."""
        times = {name: min(getattr(self, name), getattr(before, name)) for name in ("from_ns", "until_ns")}
        return replace(self, **times)


def publish_snapshot(
    region: Region, network: Network, keys: Sequence[SnapshotKey], roots: Sequence[LinkRoot], pool_slots: int, *,
    client_rate: int = 0,
) -> None:  # fmt: skip
    """Publishes the live keys and all links, in the order of `roots`: a link keeps its number as long as the node runs.

    `client_rate`: packets a second that a client may send, a second's worth at once; 0: no limit.

    `ResourceExhausted` where there are more links than the data plane has room for.
    """
    check_link_count(len(roots))
    snapshot = region["snapshot"]
    generation = int(snapshot["generation"][0]) + 1
    copy = snapshot["copy"][0, generation & 1 : (generation & 1) + 1]
    copy["link_count"], copy["classes"], copy["mean_delay_ns"] = len(roots), network.classes, network.mean_delay_ns
    copy["pool_limit"] = class_limits(pool_slots, network.classes)
    write_keys(copy["keys"][0], keys)
    write_routes(copy["routes"][0], network, roots)
    for at, root in enumerate(roots):
        write_link(copy["links"][0, at : at + 1], root, client_rate)
    snapshot["generation"] = generation


def publish_keys(region: Region, keys: Sequence[SnapshotKey]) -> int:
    """Publishes other live keys with the links as they are; the new generation. Only once the data plane has adopted the one
    before: it may still read the copy that is written here."""
    snapshot = region["snapshot"]
    generation = int(snapshot["generation"][0]) + 1
    snapshot["copy"][0, generation & 1] = snapshot["copy"][0, 1 - (generation & 1)]
    write_keys(snapshot["copy"]["keys"][0, generation & 1], keys)
    snapshot["generation"] = generation
    return generation


def published_keys(region: Region) -> list[SnapshotKey]:
    """What is published, oldest first."""
    snapshot = region["snapshot"]
    records = snapshot["copy"]["keys"][0, int(snapshot["generation"][0]) & 1]
    return [
        SnapshotKey(bytes(record["id"]), int(record["slot"]), int(record["from_ns"]), int(record["until_ns"]))
        for record in records
        if record["live"]
    ]


def write_keys(records: npt.NDArray[Any], keys: Sequence[SnapshotKey]) -> None:
    """records: `SNAPSHOT_KEY`[3]. `ValueError` for more keys."""
    if len(keys) > KEYS_MAX:
        raise ValueError(f"{len(keys)} live keys, but there is room for {KEYS_MAX}")
    records[:] = np.zeros((), records.dtype)
    for record, key in zip(records, keys, strict=False):
        record["id"] = np.frombuffer(key.id, np.uint8)
        record["slot"], record["from_ns"], record["until_ns"] = key.slot, key.from_ns, key.until_ns
        record["key_slot"], record["live"] = key.key_slot, 1


def check_link_count(n: int) -> None:
    """`ResourceExhausted` where the data plane has no room for n links."""
    if n > LINKS_MAX:
        raise ResourceExhausted(f"{n} links, but a node has room for {LINKS_MAX}: divide the clients among more nodes")


def class_limits(pool_slots: int, classes: int) -> list[int]:
    """Most pooled packets of each class: the pool's room, divided evenly."""
    each = pool_room(pool_slots) // classes
    return [each] * classes + [0] * (CLASSES_MAX - classes)


def write_routes(routes: npt.NDArray[np.uint16], network: Network, roots: Sequence[LinkRoot]) -> None:
    """routes u16[65536]: mixnode index -> link; each class's index of a neighbour leads to it."""
    routes[:] = NO_LINK
    at = {root.peer: link for link, root in enumerate(roots)}
    for node in network.nodes:
        link = at.get(link_id(node.number))
        if link is not None:
            first = network.index(node.number)
            routes[first : first + network.classes] = link


def write_link(record: npt.NDArray[Any], root: LinkRoot, client_rate: int) -> None:
    """One `SNAPSHOT_LINK`."""
    record["index_in"], record["index_out"] = root.receiver_index_in, root.receiver_index_out
    record["peer_id"][0] = np.frombuffer(root.peer, np.uint8)
    record["is_client"] = root.address is None
    record["interval_ns"] = BURST_NS // client_rate if client_rate and root.address is None else 0
    record["burst_ns"] = BURST_NS
    if root.address is not None:
        record["address"] = pack_address(*root.address)
    for name, key in (("recv", root.recv_root), ("send", root.send_root)):
        mask_key = hashlib.blake2b(key=key, digest_size=32, person=MASK_PERSONAL).digest()
        record[name]["root"][0] = np.frombuffer(key, np.uint8)
        record[name]["mask_key"][0] = np.frombuffer(mask_key, np.uint8)
