"""`network.toml`: who is in the network, and which pairs share a link. The static source of what a directory gives later.

```toml
geometry = "wan"            # or "jumbo"; one choice for the whole network
mean_delay = "50ms"         # mean of the mixing delay at each node
classes = 1                 # 1, 2 or 4 priority classes

[[node]]
number = 0                  # its mixnode indices are classes * number + class
layer = 1                   # 1, 2 or 3
address = "127.0.0.1:9001"  # an IP address: no name is looked up
sphinx_public = "…"         # X25519, 64 hex digits; or, where keys rotate:
# identity = "…"            # Ed25519, 64 hex digits
# descriptor = "descriptors/node-0"  # beside this file; written by the node, read by clients

[[client]]
peer_id = "…"               # 64 hex digits
sphinx_public = "…"
exit = 4                    # number of a layer-3 node

[[link]]
a = 0                       # number of a node, or a client's peer id
b = 4
secret_file = "links/0-4"   # 32 random bytes, beside this file; read by the two ends only
```

Every error is a `ConfigError` that names file, line, key, value and remedy.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from fastmix.errors import ConfigError
from fastmix.files.addresses import format_address
from fastmix.files.durations import format_duration
from fastmix.packet.geometry import PEER_ID_SIZE, Action, Geometry

End = int | bytes
"""One end of a link: the number of a node, or the peer id of a client."""

LAYERS = (1, 2, 3)
CLASSES = (1, 2, 4)
NODE_ID_PREFIX = b"fastmix node"
INDEX_END = int(Action.FORWARD_PEER)
"""Codes from here on are other routing actions than a forward to a mixnode."""


def node_id(number: int) -> bytes:
    """A node's 32-byte id in the derivation of link roots: prefix, number u32 little endian, zeros."""
    return (NODE_ID_PREFIX + number.to_bytes(4, "little")).ljust(PEER_ID_SIZE, b"\0")


def link_id(end: End) -> bytes:
    """The 32-byte id of a link's end: `node_id` of a node, the peer id of a client."""
    return node_id(end) if isinstance(end, int) else end


def end_name(end: End) -> str:
    """An end as people read it: `node 3`, `client 0a1b2c3d…`."""
    return f"node {end}" if isinstance(end, int) else f"client {end.hex()[:8]}…"


@dataclass(frozen=True, slots=True)
class Node:
    """A mix node. `address` is (IP address, UDP port). Either `sphinx_public`, a key without an end, or `identity` (Ed25519) and
    `descriptor`, a file relative to the network file, in which the identity signs the keys of slots."""

    number: int
    layer: int
    address: tuple[str, int]
    sphinx_public: bytes = b""
    identity: bytes = b""
    descriptor: str = ""


@dataclass(frozen=True, slots=True)
class NetworkClient:
    """A client: a leaf that keeps a link to `exit`, the number of a layer-3 node."""

    peer_id: bytes
    sphinx_public: bytes
    exit: int


@dataclass(frozen=True, slots=True)
class NetworkLink:
    """A pair that shares a secret. `secret_file` is relative to the network file."""

    a: End
    b: End
    secret_file: str

    def other(self, end: End) -> End:
        """The end that is not this one."""
        return self.b if end == self.a else self.a


@dataclass(frozen=True)
class Network:
    """The whole network. `load` checks it; one built in a program is checked by writing and loading it."""

    geometry: Geometry
    mean_delay_ns: int
    classes: int
    nodes: tuple[Node, ...]
    clients: tuple[NetworkClient, ...] = ()
    links: tuple[NetworkLink, ...] = ()
    path: Path = field(default=Path("network.toml"), compare=False)

    @staticmethod
    def load(path: str | Path) -> "Network":
        """Reads and checks a network file; `ConfigError` names file, line, key, value and remedy."""
        from fastmix.networkfile import load_network

        return load_network(path)

    def node(self, number: int) -> Node:
        """The node of that number; `ConfigError` where there is none."""
        try:
            return self._nodes[number]
        except KeyError:
            known = ", ".join(map(str, sorted(self._nodes))) or "none"
            raise ConfigError(f"{self.path}: has no node {number}: its nodes are {known}") from None

    def client(self, peer_id: bytes) -> NetworkClient:
        """The client of that peer id; `ConfigError` where there is none."""
        try:
            return self._clients[peer_id]
        except KeyError:
            raise ConfigError(f"{self.path}: has no client {peer_id.hex()}: add a [[client]]") from None

    def index(self, number: int, class_: int = 0) -> int:
        """The mixnode index that packets name for a node and a priority class; `ConfigError` for another node or class."""
        if not 0 <= class_ < self.classes:
            raise ConfigError(f"{self.path}: class {class_} is not one of the network's {self.classes} (0 to {self.classes - 1})")
        return self.classes * self.node(number).number + class_

    def node_of_index(self, index: int) -> tuple[Node, int]:
        """The node and the class of a mixnode index; `ConfigError` where no node has it."""
        number, class_ = divmod(index, self.classes)
        return self.node(number), class_

    def links_of(self, end: End) -> tuple[NetworkLink, ...]:
        """The links with that end, in the order of the file."""
        return self._links.get(end, ())

    def neighbours(self, end: End) -> tuple[End, ...]:
        """The other ends of the links with that end, in the order of the file."""
        return tuple(link.other(end) for link in self.links_of(end))

    def in_layer(self, layer: int) -> tuple[Node, ...]:
        """The nodes of a layer, in the order of the file."""
        return tuple(node for node in self.nodes if node.layer == layer)

    def routes(self, entry: bytes | None = None, exit_: int | None = None) -> Iterator[tuple[int, int, int]]:
        """All ways through layers 1, 2 and 3 along links, as node numbers.

        `entry` keeps those whose first node has a link to that client, `exit_` those that end at that node.
        """
        for first in self.in_layer(1) if entry is None else self._next_nodes(entry, 1):
            for second in self._next_nodes(first.number, 2):
                for third in self._next_nodes(second.number, 3):
                    if exit_ in (None, third.number):
                        yield first.number, second.number, third.number

    @property
    def rotates(self) -> bool:
        """Whether the nodes' keys live for slots: then descriptors have them. All do, or none."""
        return bool(self.nodes[0].identity)

    def secret_path(self, link: NetworkLink) -> Path:
        """Where the secret of a link lies."""
        return self.path.parent / link.secret_file

    def dumps(self) -> str:
        """The network file as text; `load` reads the same network back."""
        parts = [
            f'geometry = "{self.geometry.name}"\n'
            f'mean_delay = "{format_duration(timedelta(microseconds=self.mean_delay_ns // 1000))}"\n'
            f"classes = {self.classes}\n"
        ]
        parts += [
            f"[[node]]\nnumber = {node.number}\nlayer = {node.layer}\n"
            f'address = "{format_address(node.address)}"\n{_key_lines(node)}'
            for node in self.nodes
        ]
        parts += [
            f'[[client]]\npeer_id = "{client.peer_id.hex()}"\n'
            f'sphinx_public = "{client.sphinx_public.hex()}"\nexit = {client.exit}\n'
            for client in self.clients
        ]
        parts += [
            f"[[link]]\na = {_end_text(link.a)}\nb = {_end_text(link.b)}\nsecret_file = {_quoted(link.secret_file)}\n"
            for link in self.links
        ]
        return "\n".join(parts)

    @cached_property
    def _nodes(self) -> dict[int, Node]:
        return {node.number: node for node in self.nodes}

    @cached_property
    def _clients(self) -> dict[bytes, NetworkClient]:
        return {client.peer_id: client for client in self.clients}

    @cached_property
    def _links(self) -> dict[End, tuple[NetworkLink, ...]]:
        links: dict[End, tuple[NetworkLink, ...]] = {}
        for link in self.links:
            links[link.a] = (*links.get(link.a, ()), link)
            links[link.b] = (*links.get(link.b, ()), link)
        return links

    def _next_nodes(self, end: End, layer: int) -> list[Node]:
        """The nodes of a layer that have a link with that end."""
        nodes = [self._nodes[other] for other in self.neighbours(end) if isinstance(other, int)]
        return [node for node in nodes if node.layer == layer]


def _key_lines(node: Node) -> str:
    if node.identity:
        return f'identity = "{node.identity.hex()}"\ndescriptor = {_quoted(node.descriptor)}\n'
    return f'sphinx_public = "{node.sphinx_public.hex()}"\n'


def _end_text(end: End) -> str:
    return str(end) if isinstance(end, int) else f'"{end.hex()}"'


def _quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = (f"\\u{ord(c):04x}" if c < " " or c in '"\\\x7f' else c for c in text)
    return '"' + "".join(escaped) + '"'
