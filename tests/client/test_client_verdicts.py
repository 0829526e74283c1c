"""Every way a packet can end at a client, each made to happen by the packet that makes it happen."""

import numpy as np
import pytest
from fake_network import make_network

from fastmix import sphinx
from fastmix.client.session import Session
from fastmix.packet.verdict import Verdict

HERE = np.zeros((1, 0), np.uint16)


@pytest.fixture
def client():
    """(session, its public key as the only hop)."""
    network, _, secrets = make_network()
    me = network.clients[0]
    return Session(network, me.peer_id, secrets[0]), np.frombuffer(me.sphinx_public, np.uint8).reshape(1, 1, 32)


def request(session, public, data=b""):
    text = np.frombuffer(data.ljust(session.network.geometry.data_size, b"\xff"), np.uint8)[np.newaxis]
    return sphinx.build_requests(text, public, HERE)


def dropped(session, packets):
    """The drops without zeros, the law checked; the wire counts what it has received."""
    session.counters.received += len(packets)
    session.arrive(0.0, packets)
    assert session.counters.difference() == 0
    return {verdict: n for verdict, n in session.counters.dropped.items() if n}


def test_a_request_that_is_no_fragment(client):
    session, public = client
    assert dropped(session, request(session, public)) == {Verdict.DROP_MESSAGE_FORMAT: 1}


def test_a_reply_to_a_surb_of_somebody_else(client):
    session, public = client
    surbs, _ = sphinx.build_surbs(public, HERE, np.array([0], np.uint16), np.full((1, 16), 7, np.uint8))
    data = np.zeros((1, session.network.geometry.data_size), np.uint8)
    _, packets = sphinx.build_replies(data, surbs)
    assert dropped(session, packets) == {Verdict.DROP_UNKNOWN_SURB: 1}


def test_a_packet_for_another_key(client):
    session, _ = client
    _, others = sphinx.keypairs(1)
    assert dropped(session, request(session, others.reshape(1, 1, 32))) == {Verdict.DROP_MAC: 1}


def test_a_changed_payload(client):
    session, public = client
    packets = request(session, public)
    packets[0, -1] ^= 1
    assert dropped(session, packets) == {Verdict.DROP_PAYLOAD_TAG: 1}


def test_low_order_and_non_canonical_keys(client):
    session, public = client
    packets = np.repeat(request(session, public), 2, 0)
    packets[0, :32] = 0
    packets[1, 31] |= 0x80
    assert dropped(session, packets) == {Verdict.DROP_KX_LOW_ORDER: 1, Verdict.DROP_KX_NON_CANONICAL: 1}


def test_a_packet_that_wants_to_go_on(client):
    session, public = client
    both = np.concatenate([public, public], 1)
    data = np.zeros((1, session.network.geometry.data_size), np.uint8)
    packets = sphinx.build_requests(data, both, np.array([[1]], np.uint16))
    assert dropped(session, packets) == {Verdict.DROP_ACTION: 1}
