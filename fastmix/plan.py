"""Plans a layered network with fresh keys: for the demo, for drills, for tests.

Every node has links to all nodes of the next layer; every client to all nodes of layer 1 and to its exit.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fastmix.descriptor import identity_public
from fastmix.files.secret import write_secret
from fastmix.network import End, Network, NetworkClient, NetworkLink, Node
from fastmix.packet.geometry import WAN, Geometry

Secrets = dict[End, bytes]


@dataclass(frozen=True)
class NetworkPlan:
    """A network and all its secrets, which only its maker has together. `link_secrets` stand in the order of `network.links`."""

    network: Network
    secrets: Secrets = field(repr=False)
    link_secrets: tuple[bytes, ...] = field(repr=False)

    def write(self, directory: Path) -> "NetworkPlan":
        """Writes `network.toml`, `secrets/node-N`, `secrets/client-N`, `secrets/link-N` into a new directory; the plan with
        its path."""
        (directory / "secrets").mkdir(mode=0o700, parents=True)
        path = directory / "network.toml"
        path.write_text(self.network.dumps())
        for end, secret in self.secrets.items():
            write_secret(self.secret_path(directory, end), secret)
        for link, secret in zip(self.network.links, self.link_secrets, strict=True):
            write_secret(directory / link.secret_file, secret)
        return replace(self, network=Network.load(path))

    def secret_path(self, directory: Path, end: End) -> Path:
        """Where the Sphinx secret of a node or client is written."""
        if isinstance(end, int):
            return directory / "secrets" / f"node-{end}"
        at = [client.peer_id for client in self.network.clients].index(end)
        return directory / "secrets" / f"client-{at}"


def plan_network(
    layers: Sequence[Sequence[tuple[str, int]]],
    clients: int = 2,
    *,
    geometry: Geometry = WAN,
    classes: int = 1,
    mean_delay_ns: int = 50_000_000,
    rotates: bool = False,
    entropy: Callable[[int], bytes] = os.urandom,
) -> NetworkPlan:
    """A plan for three layers of node addresses. Clients take the exits in turn. `rotates`: nodes have identities, and keys
    for slots of time. `entropy` gives n random bytes (a seeded
    one: tests only)."""
    nodes: list[Node] = []
    secrets: Secrets = {}
    for layer, addresses in enumerate(layers, 1):
        for address in addresses:
            number = len(nodes)
            secrets[number] = entropy(32)
            if rotates:
                identity = identity_public(secrets[number])
                nodes.append(Node(number, layer, address, identity=identity, descriptor=f"descriptors/node-{number}"))
            else:
                nodes.append(Node(number, layer, address, public_of(secrets[number])))
    exits = [node.number for node in nodes if node.layer == 3]
    members = []
    for at in range(clients):
        peer_id, secret = entropy(32), entropy(32)
        secrets[peer_id] = secret
        members.append(NetworkClient(peer_id, public_of(secret), exits[at % len(exits)]))
    links = tuple(NetworkLink(a, b, f"secrets/link-{at}") for at, (a, b) in enumerate(pairs(nodes, members)))
    network = Network(geometry, mean_delay_ns, classes, tuple(nodes), tuple(members), links)
    return NetworkPlan(network, secrets, tuple(entropy(32) for _ in links))


def pairs(nodes: Sequence[Node], clients: Sequence[NetworkClient]) -> list[tuple[End, End]]:
    """The two ends of every link."""
    found: list[tuple[End, End]] = [(a.number, b.number) for a in nodes for b in nodes if b.layer == a.layer + 1]
    for client in clients:
        found += [(client.peer_id, node.number) for node in nodes if node.layer == 1 or node.number == client.exit]
    return found


def public_of(secret: bytes) -> bytes:
    """The X25519 public key of a secret."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
