"""Writes the snapshot: what the data plane may use, whole, into the copy that is not current, then makes it current."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.config import pool_room
from fastmix.control.link_rows import LIFE_NS, OVERLAP_NS, LinkRow, LinkRows, end_of
from fastmix.errors import ResourceExhausted
from fastmix.links.static import LinkRoot
from fastmix.network import Network, link_id
from fastmix.packet.geometry import COUNTER_END
from fastmix.seam.address import address_pair, pack_address
from fastmix.seam.layout import CLASSES_MAX, FIXED_SLOT, KEYS_MAX, LINKS_MAX, NEVER_NS, NO_LINK
from fastmix.seam.memory import Region

BURST_NS = 1_000_000_000
"""A client may be so far ahead of its rate."""
MASK_PERSONAL = b"fastmix-mask-key"
SEND_LIMIT = COUNTER_END | COUNTER_END << 32
"""Step and sequence number at which a root from an exchange ends: nothing of it outlives the node, so nothing is reserved."""


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
        name_row(copy["links"][0, at : at + 1], at)
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


def begin_snapshot(region: Region, keys: Sequence[SnapshotKey], *, classes: int, mean_delay_ns: int, pool_slots: int) -> int:
    """Publishes the first snapshot of a node whose links come later: no links, no routes; the generation."""
    snapshot = region["snapshot"]
    generation = int(snapshot["generation"][0]) + 1
    copy = snapshot["copy"][0, generation & 1 : (generation & 1) + 1]
    copy["link_count"], copy["classes"], copy["mean_delay_ns"] = 0, classes, mean_delay_ns
    copy["pool_limit"], copy["routes"] = class_limits(pool_slots, classes), NO_LINK
    write_keys(copy["keys"][0], keys)
    snapshot["generation"] = generation
    return generation


def publish_links(region: Region, rows: LinkRows, routes: Mapping[int, bytes]) -> int:
    """Publishes the rows as they are, with the keys as they are; the new generation. Only once the data plane has adopted the one
    before, as `publish_keys`. `routes`: mixnode index -> peer; those of a peer without a row that sends lead nowhere.

    Roots go from their locked memory into the region and are wiped there; those of holes are gone from the copy that is current.
    """
    snapshot = region["snapshot"]
    generation = int(snapshot["generation"][0]) + 1
    snapshot["copy"][0, generation & 1] = snapshot["copy"][0, 1 - (generation & 1)]
    copy = snapshot["copy"][0, generation & 1 : (generation & 1) + 1]
    copy["last_serial"], copy["link_count"] = rows.last_serial, max((row.row + 1 for row in rows), default=0)
    write_rows(copy["links"][0], rows)
    sending = {row.peer: row.row for row in rows if row.sends}
    copy["routes"] = NO_LINK
    for index, peer in routes.items():
        copy["routes"][0, index] = sending.get(peer, NO_LINK)
    snapshot["generation"] = generation
    rows.published(generation)
    return generation


def write_rows(records: npt.NDArray[Any], rows: LinkRows) -> None:
    """records: `SNAPSHOT_LINK`[1024], as they were published last: only rows that still have roots are written whole."""
    hole = np.ones(len(records), bool)
    records["next"] = np.arange(len(records))
    records["sends"] = 0
    for row in rows:
        record = records[row.row : row.row + 1]
        if row.roots is not None:
            write_peer(record, row.peer, row.address, row.rate)
            write_roots(record, (row.index_in, row.roots.recv.view), (row.index_out, row.roots.send.view))
            record["ingress"], record["since_ns"], record["send_limit"] = row.ingress, row.since_ns, SEND_LIMIT
            record["serial"], record["peer_serial"] = row.serial, row.peer_serial
        record["next"], record["sends"], record["live"] = row.next, row.sends, row.live
        hole[row.row] = not row.live
    records["live"][hole] = 0
    wipe_roots(records, hole)


def wipe_roots(records: npt.NDArray[Any], which: npt.NDArray[np.bool_]) -> None:
    """Overwrites the roots of some `SNAPSHOT_LINK`s."""
    for name in ("recv", "send"):
        for part in ("root", "mask_key"):
            records[name][part][which] = 0


def wipe_before(region: Region) -> None:
    """Overwrites all roots in the copy that is not current. Only once the data plane has adopted the current one."""
    snapshot = region["snapshot"]
    records = snapshot["copy"]["links"][0, 1 - (int(snapshot["generation"][0]) & 1)]
    wipe_roots(records, np.ones(len(records), bool))


def published_links(region: Region, now_ns: int, *, life_ns: int = LIFE_NS, overlap_ns: int = OVERLAP_NS) -> LinkRows:
    """The rows as they are published, for a control that follows another; no secret is read. Holes are taken for such that the
    data plane has not seen: tell `LinkRows.adopted` what it has adopted."""
    snapshot = region["snapshot"]
    generation = int(snapshot["generation"][0])
    copy = snapshot["copy"][0, generation & 1]
    rows = LinkRows(last_serial=int(copy["last_serial"]), life_ns=life_ns, overlap_ns=overlap_ns)
    for at, record in enumerate(copy["links"][: int(copy["link_count"])]):
        if record["live"] or record["serial"]:
            rows.take_over(read_row(record, at, rows, now_ns, generation))
    return rows


def read_row(record: np.void, at: int, rows: LinkRows, now_ns: int, generation: int) -> LinkRow:
    """One `SNAPSHOT_LINK`. A row that another one has taken over has begun its overlap now, for when it did nobody knows."""
    serial, since_ns, is_live = int(record["serial"]), int(record["since_ns"]), bool(record["live"])
    until_ns, follows = end_of(serial, since_ns, rows), int(record["next"])
    interval_ns = int(record["interval_ns"])
    return LinkRow(
        at, bytes(record["peer_id"]), None if record["is_client"] else address_pair(record["address"]), int(record["index_in"]),
        int(record["index_out"]), int(record["ingress"]), serial, int(record["peer_serial"]), since_ns,
        until_ns if follows == at else min(until_ns, now_ns + rows.overlap_ns), follows,
        BURST_NS // interval_ns if interval_ns else 0, is_live, bool(record["sends"]), None, None if is_live else generation,
    )  # fmt: skip


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
    """What one `SNAPSHOT_LINK` has from a static root."""
    write_peer(record, root.peer, root.address, client_rate if root.address is None else 0)
    write_roots(record, (root.receiver_index_in, root.recv_root), (root.receiver_index_out, root.send_root))


def name_row(record: npt.NDArray[Any], at: int) -> None:
    """The one row of its peer, for good."""
    record["live"] = record["sends"] = 1
    record["ingress"] = record["next"] = at


def write_peer(record: npt.NDArray[Any], peer: bytes, address: tuple[str, int] | None, rate: int) -> None:
    """Whose row it is, where it is, and how many packets a second it may send (0: no limit)."""
    record["peer_id"][0] = np.frombuffer(peer, np.uint8)
    record["is_client"] = address is None
    record["interval_ns"], record["burst_ns"] = BURST_NS // rate if rate else 0, BURST_NS
    if address is not None:
        record["address"] = pack_address(*address)


def write_roots(record: npt.NDArray[Any], recv: tuple[int, bytes | memoryview], send: tuple[int, bytes | memoryview]) -> None:
    """Receiver index and root of both directions. The roots are read where they lie."""
    for name, at, (index, root) in (("recv", "index_in", recv), ("send", "index_out", send)):
        record[at] = index
        record[name]["root"][0] = np.frombuffer(root, np.uint8)
        mask_key = hashlib.blake2b(key=root, digest_size=32, person=MASK_PERSONAL).digest()
        record[name]["mask_key"][0] = np.frombuffer(mask_key, np.uint8)
