"""Writes the snapshot: what the data plane may use, whole, into the copy that is not current, then makes it current."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.config import pool_room
from fastmix.errors import ResourceExhausted
from fastmix.links.static import LinkRoot
from fastmix.network import Network, link_id
from fastmix.seam.address import pack_address
from fastmix.seam.layout import CLASSES_MAX, LINKS_MAX, NO_LINK
from fastmix.seam.memory import Region

BURST_NS = 1_000_000_000
"""A client may be so far ahead of its rate."""
MASK_PERSONAL = b"fastmix-mask-key"


def publish_snapshot(
    region: Region, network: Network, secret: bytes, roots: Sequence[LinkRoot], pool_slots: int, *, client_rate: int = 0,
    key_slot: int = 0,
) -> None:  # fmt: skip
    """Publishes one live key and all links, in the order of `roots`: a link keeps its number as long as the node runs.

    `client_rate`: packets a second that a client may send, a second's worth at once; 0: no limit.

    `ResourceExhausted` where there are more links than the data plane has room for.
    """
    check_link_count(len(roots))
    snapshot = region["snapshot"]
    generation = int(snapshot["generation"][0]) + 1
    copy = snapshot["copy"][0, generation & 1 : (generation & 1) + 1]
    copy["link_count"], copy["classes"], copy["mean_delay_ns"] = len(roots), network.classes, network.mean_delay_ns
    copy["pool_limit"] = class_limits(pool_slots, network.classes)
    keys = copy["keys"][0]
    keys["live"] = [1, 0, 0]
    keys["key_slot"][0] = key_slot
    keys["secret"][0] = np.frombuffer(secret, np.uint8)
    write_routes(copy["routes"][0], network, roots)
    for at, root in enumerate(roots):
        write_link(copy["links"][0, at : at + 1], root, client_rate)
    snapshot["generation"] = generation


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
