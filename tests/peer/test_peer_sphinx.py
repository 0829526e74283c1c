"""The test peer is held to the packets of the independent implementation before it may judge ours."""

import hashlib
import json
import os
from pathlib import Path

import peer_sphinx as peer
import pytest

VECTORS = Path(__file__).parent.parent / "vectors"


def cases(geometry):
    return json.loads((VECTORS / "sphinx" / f"sphinx_{geometry}.json").read_text())["cases"]


def data_of(case, geometry):
    return bytes((7 * i + case["case"]) % 256 for i in range(peer.DATA_SIZES[geometry]))


def follow(case, data):
    """Unwraps a case hop by hop; returns the summed delay."""
    packet, total = bytes.fromhex(case["packet"]), 0.0
    for step in case["steps"]:
        out = peer.unwrap(packet, bytes.fromhex(step["secret"]))
        packet = out.packet
        if out.action <= peer.FORWARD_PEER:
            assert packet[:188].hex() == step["header"]
            assert hashlib.sha256(packet).hexdigest() == step["sha256"]
            total += peer.delay(out.delay_seed)
        if out.action == peer.DELIVER_REPLY:
            assert out.surb_id.hex() == step["id"]
            assert hashlib.sha256(packet).hexdigest() == step["sha256"]
            assert peer.open_reply(packet, [bytes.fromhex(k) for k in case["keys"]][::-1]) == data
        if out.action == peer.DELIVER_REQUEST:
            assert packet == data
    return total


@pytest.mark.parametrize("geometry", ["wan", "jumbo"])
def test_follows_foreign_packets_to_their_last_byte(geometry):
    for case in cases(geometry):
        data = data_of(case, geometry)
        assert follow(case, data) == pytest.approx(case["total_delay"], rel=1e-12)
        if case["kind"] == "reply":
            assert peer.build_reply(data, bytes.fromhex(case["surb"])) == (case["first"], bytes.fromhex(case["packet"]))


def test_delays_to_the_last_bit():
    for seed, expected in json.loads((VECTORS / "sphinx" / "delays.json").read_text())["seed_to_delay"]:
        assert peer.delay(bytes.fromhex(seed)) == expected


@pytest.mark.parametrize("hops", range(1, 7))
@pytest.mark.parametrize("with_peer", [False, True])
def test_own_packets_reach_their_end(hops, with_peer):
    if with_peer and hops == 1:
        return
    secrets = [os.urandom(32) for _ in range(hops)]
    targets = [*range(7, 6 + hops)]
    if with_peer:
        targets[-1] = os.urandom(32)
    publics = [peer.public_of(secret) for secret in secrets]
    surb, keys = peer.build_surb(3, publics, targets, bytes(range(16)))
    data = os.urandom(996)
    for packet in (peer.build_request(data, publics, targets), peer.build_reply(data, surb)[1]):
        for secret, target in zip(secrets, [*targets, None], strict=True):
            out = peer.unwrap(packet, secret)
            assert target is None or target in (out.action, out.peer_id)
            packet = out.packet
        assert (packet if out.action == peer.DELIVER_REQUEST else peer.open_reply(packet, keys)) == data
