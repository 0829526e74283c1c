"""Reading and checking of `network.toml`; see `fastmix.network` for the format."""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from fastmix.files.addresses import parse_address
from fastmix.files.durations import duration_ns, parse_duration
from fastmix.files.toml import Table, TomlFile, shown, suggestion
from fastmix.network import (
    CLASSES,
    INDEX_END,
    LAYERS,
    NODE_ID_PREFIX,
    End,
    Network,
    NetworkClient,
    NetworkLink,
    Node,
    end_name,
)
from fastmix.packet.geometry import GEOMETRIES, PEER_ID_SIZE

MEAN_DELAY_MAX = timedelta(hours=1)


def load_network(path: str | Path) -> Network:
    """Reads and checks a network file; `ConfigError` names file, line, key, value and remedy."""
    table = TomlFile(path).table()
    geometry = table.take("geometry", str, "wan")
    if geometry not in GEOMETRIES:
        table.fail("geometry", f"{shown(geometry)} is not a geometry: {suggestion(geometry, GEOMETRIES)}")
    classes = table.take("classes", int, 1)
    if classes not in CLASSES:
        table.fail("classes", f"{classes} is not a number of priority classes: use 1, 2 or 4")
    mean_delay = take_mean_delay(table)
    node_tables, client_tables, link_tables = (table.take_tables(name) for name in ("node", "client", "link"))
    table.end()
    if not node_tables:
        table.fail(None, "the network has no nodes: add a [[node]] for each")
    nodes = take_nodes(node_tables, classes)
    clients = take_clients(client_tables, nodes)
    links = take_links(link_tables, nodes, clients)
    pairs = {frozenset((link.a, link.b)) for link in links}
    for client, client_table in zip(clients.values(), client_tables, strict=True):
        if frozenset((client.peer_id, client.exit)) not in pairs:
            client_table.fail("exit", f"{client.exit} has no link to this client: add a [[link]] between them")
    return Network(GEOMETRIES[geometry], mean_delay, classes, tuple(nodes.values()), tuple(clients.values()), links, Path(path))


def take_mean_delay(table: Table) -> int:
    """`mean_delay` in ns; 0 is allowed and means that nothing waits."""
    text = table.take("mean_delay", str, "50ms")
    try:
        delay = parse_duration(text)
    except ValueError as error:
        table.fail("mean_delay", f"{shown(text)} {error}")
    if delay > MEAN_DELAY_MAX:
        table.fail("mean_delay", f'{shown(text)} is more than an hour: use at most "1h"')
    return duration_ns(delay)


def take_nodes(tables: list[Table], classes: int) -> dict[int, Node]:
    """The nodes by number; number, address and key are each used once."""
    nodes: dict[int, Node] = {}
    addresses: dict[tuple[str, int], int] = {}
    publics: dict[bytes, int] = {}
    number_end = INDEX_END // classes
    for table in tables:
        number = table.take("number", int)
        if not 0 <= number < number_end:
            table.fail("number", f"{number} is out of range: with {classes} classes use 0 to {number_end - 1}")
        if number in nodes:
            table.fail("number", f"{number} is already another node's: give each node its own")
        layer = table.take("layer", int)
        if layer not in LAYERS:
            table.fail("layer", f"{layer} is not a layer: use 1, 2 or 3")
        address = take_address(table, "address")
        if address in addresses:
            table.fail("address", f"is already that of node {addresses[address]}: give each node its own port or address")
        kind = "identity" if table.has("identity") else "sphinx_public"
        public = take_hex(table, kind, "the Ed25519 public key" if kind == "identity" else "the X25519 public key")
        if public in publics:
            table.fail(kind, f"is already that of node {publics[public]}: make each node its own key")
        descriptor = take_descriptor(table, nodes) if kind == "identity" else ""
        if nodes and bool(descriptor) != bool(next(iter(nodes.values())).identity):
            table.fail(kind, "is not what the nodes before have: give all an identity and a descriptor, or all a sphinx_public")
        table.end()
        keys = (b"", public, descriptor) if kind == "identity" else (public,)
        nodes[number] = Node(number, layer, address, *keys)
        addresses[address] = publics[public] = number
    return nodes


def take_descriptor(table: Table, nodes: dict[int, Node]) -> str:
    """The descriptor's file, which is one node's alone."""
    path = table.take("descriptor", str)
    if not path or "\0" in path:
        table.fail("descriptor", f"{shown(path)} is not a path: name the file that the node writes")
    if path in {node.descriptor for node in nodes.values()}:
        table.fail("descriptor", f"{shown(path)} is already another node's: give each its own")
    return path


def take_clients(tables: list[Table], nodes: dict[int, Node]) -> dict[bytes, NetworkClient]:
    """The clients by peer id; each is used once, and each exit is a layer-3 node."""
    clients: dict[bytes, NetworkClient] = {}
    for table in tables:
        peer_id = take_hex(table, "peer_id", "a peer id")
        if peer_id.startswith(NODE_ID_PREFIX):
            table.fail("peer_id", f"begins with the bytes {NODE_ID_PREFIX!r}, which mark nodes: use random bytes")
        if peer_id in clients:
            table.fail("peer_id", f"{end_name(peer_id)} is already in the file: give each client its own")
        public = take_hex(table, "sphinx_public", "the X25519 public key")
        exit_ = table.take("exit", int)
        exits = [str(node.number) for node in nodes.values() if node.layer == LAYERS[-1]]
        if str(exit_) not in exits:
            known = "not a node" if exit_ not in nodes else f"in layer {nodes[exit_].layer}"
            table.fail("exit", f"{exit_} is {known}: name a layer-3 node ({', '.join(exits) or 'there is none: add one'})")
        table.end()
        clients[peer_id] = NetworkClient(peer_id, public, exit_)
    return clients


def take_links(tables: list[Table], nodes: dict[int, Node], clients: dict[bytes, NetworkClient]) -> tuple[NetworkLink, ...]:
    """The links; each pair and each secret file is used once, and a client's other end is in layer 1 or its exit."""
    links: dict[frozenset[End], NetworkLink] = {}
    files: set[str] = set()
    for table in tables:
        a = take_end(table, "a", nodes, clients)
        b = take_end(table, "b", nodes, clients)
        if a == b:
            table.fail("b", f"is {end_name(b)} like a: a link needs two ends")
        if frozenset((a, b)) in links:
            table.fail(None, f"{end_name(a)} and {end_name(b)} already have a link: remove one of the two")
        check_client_link(table, a, b, nodes, clients)
        secret_file = table.take("secret_file", str)
        if not secret_file or "\0" in secret_file:
            table.fail("secret_file", f"{shown(secret_file)} is not a path: name a file of 32 random bytes")
        if secret_file in files:
            table.fail("secret_file", f"{shown(secret_file)} is already another link's: make each link its own secret")
        table.end()
        links[frozenset((a, b))] = NetworkLink(a, b, secret_file)
        files.add(secret_file)
    return tuple(links.values())


def check_client_link(table: Table, a: End, b: End, nodes: dict[int, Node], clients: dict[bytes, NetworkClient]) -> None:
    """A client's link leads to a layer-1 node (it sends there) or to its exit (it receives from there)."""
    if isinstance(a, bytes) and isinstance(b, bytes):
        table.fail("b", "is a client like a: clients have links to nodes only")
    for end, other in ((a, b), (b, a)):
        if isinstance(end, bytes) and isinstance(other, int) and nodes[other].layer != 1 and other != clients[end].exit:
            table.fail(
                None, f"{end_name(end)} has a link to {end_name(other)} of layer {nodes[other].layer}: use layer 1 or its exit"
            )


def take_end(table: Table, name: str, nodes: dict[int, Node], clients: dict[bytes, NetworkClient]) -> End:
    """One end of a link: a node's number or a client's peer id, which must be in the file."""
    value = table.take_either(name, (int, str), "a node's number or a client's peer id in quotes")
    if isinstance(value, int):
        if value not in nodes:
            table.fail(name, f"{value} is not a node: use one of {', '.join(map(str, nodes))}, or add a [[node]]")
        return value
    peer_id = parse_hex(table, name, value, "a peer id")
    if peer_id not in clients:
        table.fail(name, f"{end_name(peer_id)} is not in the file: add a [[client]] with this peer id")
    return peer_id


def take_hex(table: Table, name: str, what: str) -> bytes:
    """32 bytes, written as 64 hex digits."""
    return parse_hex(table, name, table.take(name, str), what)


def parse_hex(table: Table, name: str, text: str, what: str) -> bytes:
    """32 bytes of 64 hex digits; refuses anything else, also all zeros."""
    digits = set("0123456789abcdefABCDEF")
    if len(text) != 2 * PEER_ID_SIZE or not digits.issuperset(text):
        table.fail(name, f"{shown(text)} is not {what}: write 64 hex digits, found {len(text)} characters")
    value = bytes.fromhex(text)
    if not any(value):
        table.fail(name, f"all zeros is not {what}: use random bytes or a key of `fastmix keys new`")
    return value


def take_address(table: Table, name: str) -> tuple[str, int]:
    """An IP address and a UDP port: `1.2.3.4:9000`, `[::1]:9000`."""
    text = table.take(name, str)
    try:
        host, port = parse_address(text)
    except ValueError as error:
        table.fail(name, f"{shown(text)} {error}")
    if ip_address(host).is_unspecified or ip_address(host).is_multicast:
        table.fail(name, f"{shown(text)} is not one machine's address: write the address where others reach the node")
    return host, port
