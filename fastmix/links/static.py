"""Link roots from the secrets that `network.toml` names: no expiry, no overlap, no acknowledgement.

docs/wire-format.md, "Static roots". A root of one direction is HKDF-SHA256 (RFC 5869, empty salt) of the pair's secret;
its info names sender, receiver, the receiver's index, the geometry and 32 zero bytes where a key exchange has its hash.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fastmix.errors import ConfigError
from fastmix.files.secret import read_secret
from fastmix.network import End, Network, NetworkLink, end_name, link_id
from fastmix.network import node_id as node_id

ROOT_LABEL = b"fastmix link root v1"
INDEX_LABEL = b"fastmix static index"
NO_EXCHANGE = bytes(32)
"""Stands for the hash of the key exchange where there was none."""
NEVER_NS = (1 << 63) - 1
"""`expires_ns` of a root that does not expire."""


@dataclass(frozen=True, slots=True)
class LinkRoot:
    """The keys of one link for a time. `address` is None for a client, which is answered where it was last heard.

    `receiver_index_in` is in the frames that come, `receiver_index_out` in those that leave. `send_root_id` names the send
    root for counter reservations without telling anything of it. Times are clock values in ns.
    """

    peer: bytes
    address: tuple[str, int] | None
    receiver_index_in: int
    receiver_index_out: int
    send_root: bytes = field(repr=False)
    recv_root: bytes = field(repr=False)
    not_before_ns: int = 0
    expires_ns: int = NEVER_NS
    send_root_id: bytes = b""


class LinkRoots(Protocol):
    """A source of link roots: a static file here, key exchanges over TLS later."""

    def roots(self, now_ns: int) -> list[LinkRoot]:
        """The roots that are of use at that time, one or two a link, in a stable order of links."""
        ...


class StaticLinkRoots:
    """The roots of one end of `network.toml`, from the secrets of its own links; no other secret is read."""

    def __init__(self, network: Network, me: End) -> None:
        """`me` is a node's number or a client's peer id.

        `ConfigError` where it is not in the network, a secret file is wrong, or two links have the same receiver index.
        """
        if isinstance(me, int):
            network.node(me)
        else:
            network.client(me)
        self._roots = [derive_link_root(network, link, me, read_link_secret(network, link)) for link in network.links_of(me)]
        check_indices(network, me, {root.peer: root.receiver_index_in for root in self._roots})

    def roots(self, now_ns: int) -> list[LinkRoot]:
        """All roots, in the order of the links in the file, whatever the time."""
        return list(self._roots)


def read_link_secret(network: Network, link: NetworkLink) -> bytes:
    """The secret of a link, 32 bytes; `ConfigError` names the link and its file."""
    try:
        return read_secret(network.secret_path(link))
    except ConfigError as error:
        raise ConfigError(f"link of {end_name(link.a)} and {end_name(link.b)}: {error}") from None


def check_indices(network: Network, me: End, indices: Mapping[bytes, int]) -> None:
    """Refuses two links of a receiver with one index: frames of both could not be told apart."""
    owner: dict[int, bytes] = {}
    by_id = {link_id(other): other for other in network.neighbours(me)}
    for peer, index in indices.items():
        if index in owner:
            names = f"{end_name(by_id[owner[index]])} and {end_name(by_id[peer])}"
            raise ConfigError(
                f"{network.path}: the links of {end_name(me)} with {names} have the same receiver index {index:08x}: "
                "make a new secret for one of them"
            )
        owner[index] = peer


def derive_link_root(network: Network, link: NetworkLink, me: End, secret: bytes) -> LinkRoot:
    """Both directions of a link as its end `me` sees them."""
    other = link.other(me)
    mine, theirs = link_id(me), link_id(other)
    code = network.geometry.code
    index_in, index_out = static_receiver_index(secret, theirs, mine), static_receiver_index(secret, mine, theirs)
    info_out = root_info(mine, theirs, index_out, code)
    return LinkRoot(
        peer=theirs,
        address=network.node(other).address if isinstance(other, int) else None,
        receiver_index_in=index_in,
        receiver_index_out=index_out,
        send_root=hkdf(secret, 32, info_out),
        recv_root=hkdf(secret, 32, root_info(theirs, mine, index_in, code)),
        send_root_id=hashlib.sha256(info_out).digest(),
    )


def static_receiver_index(secret: bytes, sender: bytes, receiver: bytes) -> int:
    """The receiver index of one direction: the first 4 bytes, little endian, of an HKDF of the secret."""
    return int.from_bytes(hkdf(secret, 4, INDEX_LABEL + sender + receiver), "little")


def root_info(sender: bytes, receiver: bytes, receiver_index: int, geometry_code: int, exchange: bytes = NO_EXCHANGE) -> bytes:
    """HKDF's info of one direction's root: label, ids, index u32 little endian, geometry u8, hash of the exchange."""
    return ROOT_LABEL + sender + receiver + receiver_index.to_bytes(4, "little") + bytes([geometry_code]) + exchange


def hkdf(secret: bytes, size: int, info: bytes) -> bytes:
    """HKDF-SHA256 with an empty salt (RFC 5869)."""
    return HKDF(SHA256(), size, None, info).derive(secret)
