"""The Sphinx twins and the second oracle against 76 packets of an independent implementation, followed hop by hop."""

import hashlib

import oracle
import pytest

from fastmix.packet.geometry import HEADER_SIZE, Action
from fastmix.packet.verdict import Verdict
from fastmix.reference import sphinx, sphinx_build, sphinx_unwrap

unhex = bytes.fromhex


def check_forward(step, hop):
    if isinstance(step["target"], int):
        assert (hop.action, hop.next_index, hop.peer_id) == (step["target"], step["target"], bytes(32))
    else:
        assert (hop.action, hop.next_index, hop.peer_id.hex()) == (Action.FORWARD_PEER, 0, step["target"])
    assert hop.delay == step["delay"]
    assert hop.packet[:HEADER_SIZE].hex() == step["header"]
    assert hashlib.sha256(hop.packet).hexdigest() == step["sha256"]


def check_delivery(case, step, hop, data, open_reply):
    assert hop.delay == 0.0
    if step["action"] == "deliver_request":
        assert (hop.action, hop.packet) == (Action.DELIVER_REQUEST, data + bytes(16))
    elif step["action"] == "deliver_reply":
        assert (hop.action, hop.surb_id.hex()) == (Action.DELIVER_REPLY, step["id"])
        assert hashlib.sha256(hop.packet).hexdigest() == step["sha256"]
        assert open_reply(hop.packet, [unhex(key) for key in case["keys"]]) == data
    elif step["id"] is None:
        assert (hop.action, hop.packet) == (Action.COVER, b"")
    else:
        assert (hop.action, hop.surb_id.hex(), hop.packet) == (Action.COVER_ID, step["id"], b"")


@pytest.fixture(params=["twin", "oracle"])
def hop_functions(request):
    """`(keypair, unwrap, open_reply, build_reply)`."""
    if request.param == "oracle":
        return oracle.keypair, oracle.unwrap, oracle.open_reply, oracle.build_reply
    return sphinx.keypair, sphinx_unwrap.unwrap, sphinx_unwrap.open_reply, sphinx_build.build_reply


def follow(case, geometry, data, hop_functions):
    """Checks every hop of one case; returns the last action and the sum of the delays."""
    keypair, unwrap, open_reply, _ = hop_functions
    packet, total_delay = unhex(case["packet"]), 0.0
    for step in case["steps"]:
        secret, public = keypair(unhex(step["secret"]))
        assert public.hex() == step["public"]
        hop = unwrap(packet, secret, geometry)
        assert hop.verdict == Verdict.OK
        total_delay += hop.delay
        if step["action"] == "forward":
            check_forward(step, hop)
            packet = hop.packet
        else:
            check_delivery(case, step, hop, data, open_reply)
    return step["action"], total_delay


def data_of(case, document):
    return bytes((7 * i + case["case"]) % 256 for i in range(document["data_size"]))


@pytest.mark.parametrize("geometry", ["wan", "jumbo"])
def test_packets_of_an_independent_implementation(vectors, geometry, hop_functions):
    document = vectors(f"sphinx/sphinx_{geometry}.json")
    assert len(document["cases"]) == 38
    for case in document["cases"]:
        assert len(case["steps"]) == case["hops"]
        action, total_delay = follow(case, geometry, data_of(case, document), hop_functions)
        assert action != "forward"
        assert total_delay == case["total_delay"]


@pytest.mark.parametrize("geometry", ["wan", "jumbo"])
def test_replies_are_built_as_by_the_independent_implementation(vectors, geometry, hop_functions):
    document = vectors(f"sphinx/sphinx_{geometry}.json")
    replies = [case for case in document["cases"] if case["kind"] == "reply"]
    assert len(replies) == 11
    for case in replies:
        built = hop_functions[-1](data_of(case, document), unhex(case["surb"]), geometry)
        assert built == (case["first"], unhex(case["packet"]))
