"""network.toml: what is read, what is looked up, and that every wrong file is refused with line, key, value and remedy."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastmix.errors import ConfigError
from fastmix.network import Network, NetworkClient, NetworkLink, Node, link_id
from fastmix.packet.geometry import GEOMETRIES, JUMBO, WAN

KEY = {n: bytes([n + 1] * 32).hex() for n in range(200)}
PEER = "ab" * 32
GOOD = f"""\
geometry = "jumbo"
mean_delay = "20ms"
classes = 2
# the nodes
[[node]]
number = 0
layer = 1
address = "127.0.0.1:9001"
sphinx_public = "{KEY[0]}"
[[node]]
number = 5
layer = 2
address = "[::1]:9002"
sphinx_public = "{KEY[5]}"
[[node]]
number = 9
layer = 3
address = "10.0.0.1:9003"
sphinx_public = "{KEY[9]}"
[[client]]
peer_id = "{PEER}"
sphinx_public = "{KEY[100]}"
exit = 9
[[link]]
a = 0
b = 5
secret_file = "s/0-5"
[[link]]
a = 5
b = 9
secret_file = "s/5-9"
[[link]]
a = "{PEER}"
b = 9
secret_file = "s/c-9"
[[link]]
a = 0
b = "{PEER}"
secret_file = "s/0-c"
"""


def load(tmp_path: Path, text: str) -> Network:
    path = tmp_path / "network.toml"
    path.write_text(text)
    return Network.load(path)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/network.toml:")
    return message.removeprefix(f"{tmp_path}/")


def test_loads(tmp_path: Path) -> None:
    network = load(tmp_path, GOOD)
    assert (network.geometry, network.mean_delay_ns, network.classes) == (JUMBO, 20_000_000, 2)
    assert network.node(5) == Node(5, 2, ("::1", 9002), bytes.fromhex(KEY[5]))
    assert network.client(bytes.fromhex(PEER)).exit == 9
    assert network.secret_path(network.links[0]) == tmp_path / "s/0-5"


def test_defaults(tmp_path: Path) -> None:
    network = load(tmp_path, "[[node]]" + GOOD.split("[[node]]")[1])
    assert (network.geometry, network.mean_delay_ns, network.classes) == (WAN, 50_000_000, 1)
    assert load(tmp_path, 'mean_delay = "0ms"\n[[node]]' + GOOD.split("[[node]]")[1]).mean_delay_ns == 0


def test_lookups(tmp_path: Path) -> None:
    network, peer = load(tmp_path, GOOD), bytes.fromhex(PEER)
    assert (network.index(9, 1), network.node_of_index(19), network.node_of_index(10)) == (
        19,
        (network.node(9), 1),
        (network.node(5), 0),
    )
    assert network.neighbours(5) == (0, 9)
    assert network.neighbours(peer) == (9, 0)
    assert [link.secret_file for link in network.links_of(9)] == ["s/5-9", "s/c-9"]
    assert network.links_of(77) == ()
    assert list(network.routes()) == list(network.routes(entry=peer, exit_=9)) == [(0, 5, 9)]
    assert list(network.routes(exit_=5)) == []
    assert [node.number for node in network.in_layer(2)] == [5]


def test_lookups_of_what_is_not_there(tmp_path: Path) -> None:
    network = load(tmp_path, GOOD)
    for wrong in (
        lambda: network.node(1),
        lambda: network.node_of_index(2),
        lambda: network.index(0, 2),
        lambda: network.index(0, -1),
    ):
        with pytest.raises(ConfigError, match=r"network\.toml: "):
            wrong()
    with pytest.raises(ConfigError, match="no client"):
        network.client(b"x" * 32)


def test_link_ids_tell_nodes_and_clients_apart() -> None:
    assert link_id(3) == b"fastmix node\3" + bytes(19)
    assert link_id(b"p" * 32) == b"p" * 32


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Valid networks of 3 to 8 nodes, with links along a ring and a client or none."""
    numbers = draw(st.lists(st.integers(0, 16_000), min_size=3, max_size=8, unique=True))
    nodes = [
        Node(n, i % 3 + 1, (draw(st.sampled_from(["127.0.0.1", "::1"])), 1024 + i), bytes([i + 1] * 32))
        for i, n in enumerate(numbers)
    ]
    names = draw(
        st.lists(
            st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), min_size=20, max_size=20, unique=True
        )
    )
    links = [NetworkLink(a, b, names.pop()) for a, b in pairwise(numbers)]
    peer = draw(st.none() | st.binary(min_size=32, max_size=32).filter(any))
    clients = () if peer is None else (NetworkClient(peer, bytes([77] * 32), numbers[2]),)
    links += [NetworkLink(client.exit, client.peer_id, names.pop()) for client in clients]
    return Network(
        draw(st.sampled_from(sorted(GEOMETRIES.values(), key=lambda g: g.code))),
        draw(st.integers(0, 3_600_000_000)) * 1000,
        draw(st.sampled_from([1, 2, 4])),
        tuple(nodes),
        clients,
        tuple(links),
    )


@given(networks())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(tmp_path: Path, network: Network) -> None:
    (tmp_path / "round.toml").write_text(network.dumps())
    assert Network.load(tmp_path / "round.toml") == network


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('"jumbo"', '"jumo"', 1, ["geometry: 'jumo'", "did you mean 'jumbo'?"]),
        ('"jumbo"', "3", 1, ["geometry: 3 is not a text"]),
        ('"20ms"', '"20"', 2, ["mean_delay: '20' is not a duration", '"250ms"']),
        ('"20ms"', '"-5ms"', 2, ["mean_delay: '-5ms'"]),
        ('"20ms"', '"2h"', 2, ["mean_delay: '2h' is more than an hour"]),
        ('"20ms"', "20", 2, ["mean_delay: 20 is not a text in quotes"]),
        ("classes = 2", "classes = 3", 3, ["classes: 3", "1, 2 or 4"]),
        ("classes = 2", "classes = true", 3, ["classes: true is not a whole number"]),
        ("classes = 2", "clases = 2", 3, ["clases: is not a known key", "'classes'"]),
        ("number = 5", "number = 0", 11, ["node[1].number: 0 is already"]),
        ("number = 5", "number = -1", 11, ["node[1].number: -1 is out of range", "0 to 32639"]),
        ("number = 5", "number = 32640", 11, ["node[1].number: 32640 is out of range"]),
        ("number = 5", 'number = "5"', 11, ["node[1].number: '5' is not a whole number"]),
        ("number = 5", "numbr = 5", 10, ["node[1]: number is missing: add number = a whole number"]),
        ("layer = 2", "layer = 4", 12, ["node[1].layer: 4", "1, 2 or 3"]),
        ("layer = 2", "layer = 2\nlyer = 2", 13, ["node[1].lyer: is not a known key", "'layer'"]),
        ("[::1]:9002", "127.0.0.1:9001", 13, ["node[1].address: is already that of node 0"]),
        ("[::1]:9002", "::1:9002", 13, ["node[1].address", "brackets"]),
        ("[::1]:9002", "[127.0.0.1]:9002", 13, ["node[1].address", "brackets"]),
        ("[::1]:9002", "example.org:9002", 13, ["'example.org:9002' is not an IP address"]),
        ("[::1]:9002", "127.0.0.1", 13, ["node[1].address: '127.0.0.1' is not an IP address and a port"]),
        ("[::1]:9002", "127.0.0.1:0", 13, ["no port from 1 to 65535"]),
        ("[::1]:9002", "127.0.0.1:65536", 13, ["no port from 1 to 65535"]),
        ("[::1]:9002", "127.0.0.1:٣", 13, ["no port from 1 to 65535"]),
        ("[::1]:9002", "0.0.0.0:9002", 13, ["not one machine's address"]),
        (KEY[5], KEY[0], 14, ["node[1].sphinx_public: is already that of node 0"]),
        (KEY[5], KEY[5][:-1], 14, ["node[1].sphinx_public", "64 hex digits, found 63"]),
        (KEY[5], "x" * 64, 14, ["node[1].sphinx_public", "64 hex digits"]),
        (KEY[5], "0" * 64, 14, ["all zeros"]),
        (f'"{PEER}"\nsphinx', f'"{b"fastmix node".hex():0<64}"\nsphinx', 21, ["client[0].peer_id: begins with", "random bytes"]),
        ("exit = 9", "exit = 5", 23, ["client[0].exit: 5 is in layer 2: name a layer-3 node (9)"]),
        ("exit = 9", "exit = 8", 23, ["client[0].exit: 8 is not a node"]),
        ("b = 5", "b = 6", 26, ["link[0].b: 6 is not a node: use one of 0, 5, 9"]),
        ("b = 5", "b = 5.0", 26, ["link[0].b: 5.0 is not a node's number or"]),
        ("b = 5", "b = 0", 26, ["link[0].b: is node 0 like a"]),
        ("b = 5", "", 24, ["link[0]: b is missing"]),
        ("a = 5\nb = 9", "a = 5\nb = 0", 28, ["link[1]: node 5 and node 0 already have a link"]),
        ("s/5-9", "s/0-5", 31, ["link[1].secret_file: 's/0-5' is already another link's"]),
        ("s/5-9", "", 31, ["link[1].secret_file: '' is not a path"]),
        (f'a = "{PEER}"', f'a = "{"cd" * 32}"', 33, ["link[2].a: client cdcdcdcd… is not in the file"]),
        (f'a = "{PEER}"', f'a = "{PEER[1:]}"', 33, ["link[2].a", "found 63"]),
        (f'a = 0\nb = "{PEER}"', f'a = 5\nb = "{PEER}"', 36, ["link[3]: client abababab… has a link to node 5 of layer 2"]),
        (f'a = "{PEER}"\nb = 9', "a = 0\nb = 9", 23, ["client[0].exit: 9 has no link to this client"]),
        ("[[client]]", "[client]", 20, ["client: is not an array of tables: write [[client]]"]),
    ],
)
def test_wrong_file_is_refused(tmp_path: Path, old: str, new: str, line: int, words: list[str]) -> None:
    assert GOOD.count(old) >= 1
    message = refused(tmp_path, GOOD.replace(old, new, 1))
    assert message.startswith(f"network.toml:{line}: "), message
    for word in words:
        assert word in message
    assert "\n" not in message


def test_duplicate_client_is_refused(tmp_path: Path) -> None:
    client = f'[[client]]\npeer_id = "{PEER}"\nsphinx_public = "{KEY[3]}"\nexit = 9\n'
    assert refused(tmp_path, GOOD + client).startswith("network.toml:41: client[1].peer_id: client abababab… is already")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the network has no nodes: add a [[node]]"),
        ("a b", "line 1, column 3: not valid TOML: Expected '=' after a key in a key/value pair in 'a b'"),
        ('\n\ngeometry = "wan\n', "line 3, column 16: not valid TOML"),
        ("[[node]", "not valid TOML"),
        ("classes = 1\nclasses = 2", "line 2"),
        ("nodes = [", "line 1: not valid TOML"),
    ],
)
def test_syntax_errors_name_the_line(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(tmp_path, text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot read the file: No such file"):
        Network.load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot read the file: Is a directory"):
        Network.load(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b'geometry = "\xff"')
    with pytest.raises(ConfigError, match="byte 12 is not UTF-8"):
        Network.load(tmp_path / "binary.toml")
