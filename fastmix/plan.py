"""Plans a layered network with fresh keys: for the demo, for drills, for tests.

Every node has links to all nodes of the next layer; every client to all nodes of layer 1 and to its exit.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fastmix.files.secret import write_secret
from fastmix.keys.hierarchy import Identity
from fastmix.keys.passphrase import from_file
from fastmix.keys.store import create_store
from fastmix.keys.wrapping import Argon2Cost, PassphraseWrapping
from fastmix.network import LAYERS, End, Network, NetworkClient, NetworkLink, Node
from fastmix.packet.geometry import WAN, Geometry

Secrets = dict[End, bytes]


RANDOM_COST = Argon2Cost(1024, 1, 1)
"""For passphrases of 128 random bits, which nobody guesses at any cost."""


@dataclass(frozen=True)
class NetworkPlan:
    """A network and all its secrets, which only its maker has together. `link_secrets` stand in the order of `network.links`;
    `identities`, by node, where keys rotate."""

    network: Network
    secrets: Secrets = field(repr=False)
    link_secrets: tuple[bytes, ...] = field(repr=False)
    identities: Mapping[int, Identity] = field(default_factory=dict, repr=False)

    def write(self, directory: Path, passphrase: Path | None = None) -> "NetworkPlan":
        """Writes `network.toml`, `secrets/node-N`, `secrets/client-N`, `secrets/link-N` into a new directory; the plan with
        its path. In place of secrets, identities have encrypted stores, `secrets/node-N.keys`: under the passphrase of a file, or
        each under a random one, in `secrets/node-N.passphrase`."""
        (directory / "secrets").mkdir(mode=0o700, parents=True)
        path = directory / "network.toml"
        path.write_text(self.network.dumps())
        for end, secret in self.secrets.items():
            write_secret(self.secret_path(directory, end), secret)
        for link, secret in zip(self.network.links, self.link_secrets, strict=True):
            write_secret(directory / link.secret_file, secret)
        for number, identity in self.identities.items():
            write_store(store_path(directory, number), identity, passphrase)
        return replace(self, network=Network.load(path))

    def secret_path(self, directory: Path, end: End) -> Path:
        """Where the Sphinx secret of a node or client is written."""
        if isinstance(end, int):
            return directory / "secrets" / f"node-{end}"
        at = [client.peer_id for client in self.network.clients].index(end)
        return directory / "secrets" / f"client-{at}"


def store_path(directory: Path, number: int) -> Path:
    """Where a node's identity is written."""
    return directory / "secrets" / f"node-{number}.keys"


def passphrase_path(store: Path) -> Path:
    """Where the random passphrase of such a store is written."""
    return store.with_suffix(".passphrase")


def identity_table(store: Path) -> str:
    """The [identity] table of the configuration of the node that has that store, under a random passphrase."""
    return f'[identity]\nstore = "{store}"\npassphrase_file = "{passphrase_path(store)}"\n'


def write_store(store: Path, identity: Identity, passphrase: Path | None = None) -> None:
    """The encrypted store of an identity, under the passphrase of a file, or a random one that is written beside it."""
    if passphrase is None:
        write_secret(passphrase_path(store), os.urandom(16).hex().encode())
    with PassphraseWrapping(lambda: from_file(passphrase or passphrase_path(store)), None if passphrase else RANDOM_COST) as kept:
        create_store(store, identity, kept)


def plan_network(
    layers: Sequence[Sequence[tuple[str, int]]],
    clients: int = 2,
    *,
    geometry: Geometry = WAN,
    classes: int = 1,
    mean_delay_ns: int = 50_000_000,
    rotates: bool = False,
    loops: bool = False,
    entropy: Callable[[int], bytes] = os.urandom,
) -> NetworkPlan:
    """A plan for three layers of node addresses. Clients take the exits in turn. `rotates`: nodes have identities, and keys
    for slots of time. `loops`: layer 3 has links to layer 1, so that nodes' loops come back. `entropy` gives n random bytes (a
    seeded one: tests only); identities are always fresh."""
    nodes: list[Node] = []
    secrets: Secrets = {}
    identities: dict[int, Identity] = {}
    for layer, addresses in enumerate(layers, 1):
        for address in addresses:
            number = len(nodes)
            if rotates:
                identities[number] = identity = Identity.fresh()
                nodes.append(Node(number, layer, address, identity=identity.public, descriptor=f"descriptors/node-{number}"))
            else:
                secrets[number] = entropy(32)
                nodes.append(Node(number, layer, address, public_of(secrets[number])))
    exits = [node.number for node in nodes if node.layer == 3]
    members = []
    for at in range(clients):
        peer_id, secret = entropy(32), entropy(32)
        secrets[peer_id] = secret
        members.append(NetworkClient(peer_id, public_of(secret), exits[at % len(exits)]))
    links = tuple(NetworkLink(a, b, f"secrets/link-{at}") for at, (a, b) in enumerate(pairs(nodes, members, loops)))
    network = Network(geometry, mean_delay_ns, classes, tuple(nodes), tuple(members), links)
    return NetworkPlan(network, secrets, tuple(entropy(32) for _ in links), identities)


def pairs(nodes: Sequence[Node], clients: Sequence[NetworkClient], loops: bool = False) -> list[tuple[End, End]]:
    """The two ends of every link."""
    found: list[tuple[End, End]] = [(a.number, b.number) for a in nodes for b in nodes if b.layer == a.layer + 1]
    if loops:
        found += [(a.number, b.number) for a in nodes for b in nodes if (a.layer, b.layer) == (LAYERS[-1], LAYERS[0])]
    for client in clients:
        found += [(client.peer_id, node.number) for node in nodes if node.layer == 1 or node.number == client.exit]
    return found


def public_of(secret: bytes) -> bytes:
    """The X25519 public key of a secret."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
