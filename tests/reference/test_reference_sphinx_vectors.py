"""The Sphinx twins against 76 packets of an independent implementation, followed hop by hop."""

import hashlib

import pytest

from fastmix.packet.geometry import HEADER_SIZE, Action
from fastmix.packet.verdict import Verdict
from fastmix.reference.sphinx import keypair
from fastmix.reference.sphinx_unwrap import open_reply, unwrap

unhex = bytes.fromhex


def check_forward(step, hop):
    if isinstance(step["target"], int):
        assert (hop.action, hop.next_index, hop.peer_id) == (step["target"], step["target"], bytes(32))
    else:
        assert (hop.action, hop.next_index, hop.peer_id.hex()) == (Action.FORWARD_PEER, 0, step["target"])
    assert hop.delay == step["delay"]
    assert hop.packet[:HEADER_SIZE].hex() == step["header"]
    assert hashlib.sha256(hop.packet).hexdigest() == step["sha256"]


def check_delivery(case, step, hop, data):
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


@pytest.mark.parametrize("geometry", ["wan", "jumbo"])
def test_packets_of_an_independent_implementation(vectors, geometry):
    document = vectors(f"sphinx/sphinx_{geometry}.json")
    assert len(document["cases"]) == 38
    for case in document["cases"]:
        packet, total_delay = unhex(case["packet"]), 0.0
        data = bytes((7 * i + case["case"]) % 256 for i in range(document["data_size"]))
        assert len(case["steps"]) == case["hops"]
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
                check_delivery(case, step, hop, data)
        assert step["action"] != "forward"
        assert total_delay == case["total_delay"]
