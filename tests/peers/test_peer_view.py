"""What a document comes to as a network, and how long answers get."""

import msgspec
import pytest
from node_records import NETWORK, NOW, SETTINGS, Key, record

from fastmix.directory.authority import Member, next_document
from fastmix.directory.document import FIRST, Rule
from fastmix.directory.records import Instance, Place, sign_record
from fastmix.errors import NetworkFailure
from fastmix.network import NetworkClient
from fastmix.peers.messages import ANSWER_BYTES, Since, fitting, read
from fastmix.peers.view import View, view_of


def view_with(n: int, lacking: int = 0, clients: tuple[NetworkClient, ...] = ()) -> View:
    keys = [Key(f"node {i}") for i in range(n)]
    records = {key.public: record(key, instances=(Instance(Place("192.0.2.1", 9000 + i), 7, bytes([i]) * 64),))
               for i, key in enumerate(keys)}  # fmt: skip
    members = {key.public: Member(sign_record(records[key.public], key), records[key.public], True) for key in keys}
    document = next_document(None, SETTINGS, Rule((keys[0].public,), 1), members, FIRST, NOW)
    for key in keys[:lacking]:
        del records[key.public]
    return view_of(document, records, clients)


@pytest.mark.parametrize("n", [1, 3, 9, 11])
def test_layers_are_linked_in_a_ring(n: int) -> None:
    network = view_with(n).network
    assert len(network.nodes) == n
    for node in network.nodes:
        beside = {(node.layer % 3) + 1, ((node.layer - 2) % 3) + 1}
        expected = {other.number for other in network.nodes if other.layer in beside}
        assert set(network.neighbours(node.number)) == expected
    pairs = [frozenset((link.a, link.b)) for link in network.links]
    assert len(pairs) == len(set(pairs))


def test_keys_and_places_of_a_number() -> None:
    view = view_with(3)
    for number, identity in view.identities.items():
        instance = view.records[identity].instances[0]
        assert view.place(number) == instance.data.pair
        assert view.public(number, 8) == instance.public(8) != None  # noqa: E711
        assert view.public(number, 9) is None


def test_nodes_without_a_record_are_left_out() -> None:
    view = view_with(6, lacking=2)
    assert len(view.network.nodes) == len(view.entries) == 4


def test_clients_are_linked_to_the_first_layer_and_their_exit() -> None:
    exit_ = next(node.number for node in view_with(9).network.in_layer(3))
    client = NetworkClient(b"p" * 32, b"s" * 32, exit_)
    network = view_with(9, clients=(client,)).network
    assert set(network.neighbours(client.peer_id)) == {*(node.number for node in network.in_layer(1)), exit_}
    assert len(list(network.routes(client.peer_id, exit_))) == 9


def test_answers_are_cut() -> None:
    half = bytes(ANSWER_BYTES // 2)
    assert fitting([]) == ()
    assert fitting([half, half, b"x"]) == (half, half)
    assert fitting([half + half + b"x", b"x"]) == (half + half + b"x",)


@pytest.mark.parametrize("body", [b"", b"\xc1", msgspec.msgpack.encode({"epoch": -1, "hash": NETWORK}), bytes(100)])
def test_what_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(NetworkFailure, match="is no Since"):
        read(body, Since)
