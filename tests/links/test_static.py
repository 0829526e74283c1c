"""Static link roots: both ends derive the same, a stranger's secret is never read, wrong files are refused."""

import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import Any

import pytest

from fastmix.errors import ConfigError
from fastmix.links.static import StaticLinkRoots, check_indices, hkdf, node_id, root_info, static_receiver_index
from fastmix.network import Network, NetworkClient, NetworkLink, Node, link_id
from fastmix.packet.geometry import GEOMETRIES, JUMBO, WAN

PEER = bytes(range(32))
SECRET = bytes(range(100, 132))
VECTORS = json.loads((Path(__file__).parent.parent / "vectors/fastmix/roots.json").read_text())["cases"]


def hkdf_by_hand(secret: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 for one block of output."""
    prk = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(prk, info + b"\x01", "sha256")[:size]


@pytest.fixture
def network(tmp_path: Path) -> Network:
    nodes = tuple(Node(n, n + 1, (f"127.0.0.{n + 1}", 9000), bytes([n + 1] * 32)) for n in range(3))
    links = (NetworkLink(0, 1, "01"), NetworkLink(1, 2, "12"), NetworkLink(PEER, 2, "c2"))
    network = Network(WAN, 0, 1, nodes, (NetworkClient(PEER, bytes([9] * 32), 2),), links, tmp_path / "network.toml")
    for i, link in enumerate(links):
        write(network.secret_path(link), bytes(b ^ i for b in SECRET))
    return network


def write(path: Path, data: bytes, mode: int = 0o600) -> None:
    path.write_bytes(data)
    path.chmod(mode)


def test_node_id_is_prefix_number_zeros() -> None:
    assert node_id(0x01020304) == b"fastmix node\x04\x03\x02\x01" + bytes(16)


def test_both_ends_agree(network: Network) -> None:
    for link in network.links:
        at_a = {root.peer: root for root in StaticLinkRoots(network, link.a).roots(0)}[link_id(link.b)]
        at_b = {root.peer: root for root in StaticLinkRoots(network, link.b).roots(0)}[link_id(link.a)]
        assert (at_a.send_root, at_a.receiver_index_out) == (at_b.recv_root, at_b.receiver_index_in)
        assert (at_b.send_root, at_b.receiver_index_out) == (at_a.recv_root, at_a.receiver_index_in)
        assert at_a.send_root != at_a.recv_root
        assert at_a.send_root_id != at_b.send_root_id


def test_derivation_is_the_documents(network: Network) -> None:
    root = StaticLinkRoots(network, 0).roots(0)[0]
    me, peer = node_id(0), node_id(1)
    index = hkdf_by_hand(SECRET, b"fastmix static index" + me + peer, 4)
    info = b"fastmix link root v1" + me + peer + index + b"\x01" + bytes(32)
    assert root.receiver_index_out == int.from_bytes(index, "little")
    assert root.send_root == hkdf_by_hand(SECRET, info, 32)
    assert root.send_root_id == hashlib.sha256(info).digest()


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: f"{case['geometry']}-{case['receiver_index']}")
def test_vectors_of_the_wire_format(case: dict[str, Any]) -> None:
    """tests/vectors/fastmix/roots.json, made by the plain second implementation."""
    secret, sender, receiver = (bytes.fromhex(case[name]) for name in ("secret", "sender", "receiver"))
    index = static_receiver_index(secret, sender, receiver)
    assert index == case["receiver_index"]
    assert hkdf(secret, 32, root_info(sender, receiver, index, GEOMETRIES[case["geometry"]].code)).hex() == case["root"]


def test_geometry_is_bound(network: Network) -> None:
    jumbo = Network(JUMBO, 0, 1, network.nodes, network.clients, network.links, network.path)
    assert StaticLinkRoots(network, 0).roots(0)[0].send_root != StaticLinkRoots(jumbo, 0).roots(0)[0].send_root


def test_addresses_of_nodes_but_not_of_clients(network: Network) -> None:
    roots = StaticLinkRoots(network, 2).roots(123)
    assert [(root.peer, root.address) for root in roots] == [(node_id(1), ("127.0.0.2", 9000)), (PEER, None)]
    assert all(root.not_before_ns == 0 and root.expires_ns == 2**63 - 1 for root in roots)


def test_reads_only_its_own_secrets(network: Network, tmp_path: Path) -> None:
    (tmp_path / "12").unlink()
    assert len(StaticLinkRoots(network, 0).roots(0)) == 1


def test_keys_are_not_in_the_repr(network: Network) -> None:
    root = StaticLinkRoots(network, 0).roots(0)[0]
    assert "root=" not in repr(root)
    assert repr(root.send_root)[2:-1] not in repr(root)


@pytest.mark.parametrize(
    ("data", "mode", "words"),
    [
        (SECRET[:31], 0o600, "31 bytes"),
        (SECRET + b"\n", 0o600, "33 bytes"),
        (b"", 0o600, "0 bytes"),
        (bytes(32), 0o600, "all zeros"),
        (SECRET, 0o640, "chmod 600"),
        (SECRET, 0o604, "mode 0604"),
    ],
)
def test_wrong_secret_file_is_refused(network: Network, tmp_path: Path, data: bytes, mode: int, words: str) -> None:
    write(tmp_path / "01", data, mode)
    with pytest.raises(ConfigError, match=f"link of node 0 and node 1: .*/01: .*{words}") as caught:
        StaticLinkRoots(network, 0)
    assert SECRET[:16].hex() not in str(caught.value)


def test_missing_and_odd_secret_files_are_refused(network: Network, tmp_path: Path) -> None:
    (tmp_path / "01").unlink()
    with pytest.raises(ConfigError, match=r"No such file.*fastmix keys new"):
        StaticLinkRoots(network, 0)
    os.mkfifo(tmp_path / "01", 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        StaticLinkRoots(network, 0)


def test_stranger_has_no_roots(network: Network) -> None:
    with pytest.raises(ConfigError, match="no node 7"):
        StaticLinkRoots(network, 7)
    with pytest.raises(ConfigError, match="no client"):
        StaticLinkRoots(network, bytes(32))


def test_same_index_at_one_receiver_is_refused(network: Network) -> None:
    index = static_receiver_index(SECRET, node_id(0), node_id(1))
    with pytest.raises(ConfigError, match=f"node 1 with node 0 and node 2 have the same receiver index {index:08x}"):
        check_indices(network, 1, {node_id(0): index, node_id(2): index})
