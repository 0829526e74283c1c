"""The library held to packets, SURBs and keys of another implementation: same replies byte for byte, same end of the way."""

import hashlib

import numpy as np
import pytest
from published import rows

from fastmix import sphinx
from fastmix.packet.geometry import GEOMETRIES
from fastmix.packet.verdict import Verdict


@pytest.fixture(params=list(GEOMETRIES))
def published(request, vectors):
    return vectors(f"sphinx/sphinx_{request.param}.json")


def data_of(case, size):
    return ((7 * np.arange(size) + case["case"]) % 256).astype(np.uint8)[np.newaxis]


def replies(published):
    found = [case for case in published["cases"] if case["kind"] == "reply"]
    assert len(found) >= 6
    return found


def test_replies_over_published_surbs(published):
    geometry = published["geometry"]
    for case in replies(published):
        data = data_of(case, published["data_size"])
        first, packets = sphinx.build_replies(data, rows(bytes.fromhex(case["surb"])), geometry=geometry)
        assert first[0] == case["first"]
        assert packets[0].tobytes().hex() == case["packet"]


def test_published_keys_open_published_replies(published):
    geometry = published["geometry"]
    for case in replies(published):
        packets = rows(bytes.fromhex(case["packet"]))
        for step in case["steps"]:
            seen = sphinx.unwrap(packets, bytes.fromhex(step["secret"]), geometry=geometry)
            packets = seen.packets
        assert seen.surb_id[0].tobytes().hex() == case["id"]
        payloads = packets[:, : GEOMETRIES[geometry].payload_size]
        keys = rows(*map(bytes.fromhex, case["keys"]))[np.newaxis]
        ok, data = sphinx.open_replies(payloads, keys, geometry=geometry)
        assert ok[0]
        assert (data == data_of(case, published["data_size"])).all()


def test_unwrap_follows_all_published_packets(published):
    geometry = published["geometry"]
    for case in published["cases"]:
        packets, delay = rows(bytes.fromhex(case["packet"])), 0.0
        for step in case["steps"]:
            seen = sphinx.unwrap(packets, bytes.fromhex(step["secret"]), geometry=geometry)
            assert seen.verdict[0] == Verdict.OK
            packets = seen.packets
            delay += seen.delay[0]
            if step["action"].startswith("forward"):
                assert hashlib.sha256(packets.tobytes()).hexdigest() == step["sha256"]
        assert delay == pytest.approx(case["total_delay"], abs=1e-12)
