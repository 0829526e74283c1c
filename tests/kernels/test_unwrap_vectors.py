"""The packets of an independent implementation, followed hop by hop through the C face; LIONESS and delays of others."""

import hashlib

import numpy as np
import pytest
from published import BATCH_SIZES

from fastmix.kernels import _unwrap, isa
from fastmix.packet.geometry import GEOMETRIES, HEADER_SIZE, Action
from fastmix.packet.verdict import Verdict
from fastmix.reference import lioness

REPLAY_KEY = bytes(range(32))
ACTIONS = {"deliver_request": Action.DELIVER_REQUEST, "deliver_reply": Action.DELIVER_REPLY}


def rows(*items: bytes) -> np.ndarray:
    return np.array([list(item) for item in items], np.uint8)


def expected_action(step: dict) -> int:
    if step["action"] == "forward":
        return step["target"] if isinstance(step["target"], int) else Action.FORWARD_PEER
    if step["action"] == "deliver_cover":
        return Action.COVER_ID if step["id"] else Action.COVER
    return ACTIONS[step["action"]]


def hold_to_step(got: dict, step: dict, case: dict, geometry) -> None:
    packet = got["packets"][0].tobytes()
    target = step.get("target")
    assert got["verdict"][0] == Verdict.OK
    assert got["action"][0] == expected_action(step)
    assert got["next_index"][0] == (target if isinstance(target, int) else 0)
    assert got["peer_id"][0].tobytes() == (bytes.fromhex(target) if isinstance(target, str) else bytes(32))
    assert got["surb_id"][0].tobytes() == bytes.fromhex(step.get("id") or "00" * 16)
    assert got["delay"][0] == step.get("delay", 0.0)
    if step["action"] == "forward":
        assert packet[:HEADER_SIZE].hex() == step["header"]
        assert hashlib.sha256(packet).hexdigest() == step["sha256"]
        return
    assert packet[geometry.payload_size :] == bytes(HEADER_SIZE)
    if step["action"] == "deliver_request":
        data = bytes((7 * i + case["case"]) % 256 for i in range(geometry.data_size))
        assert packet[: geometry.payload_size] == data + bytes(16)
    elif step["action"] == "deliver_reply":
        assert hashlib.sha256(packet[: geometry.payload_size]).hexdigest() == step["sha256"]
    else:
        assert packet == bytes(geometry.packet_size)


@pytest.mark.parametrize("name", isa.supported())
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=lambda geometry: geometry.name)
def test_each_packet_hop_by_hop(vectors, geometry, name):
    cases = vectors(f"sphinx/sphinx_{geometry.name}.json")["cases"]
    assert len(cases) == 38
    for case in cases:
        packets = rows(bytes.fromhex(case["packet"]))
        for step in case["steps"]:
            got = _unwrap.unwrap_batch(packets, bytes.fromhex(step["secret"]), REPLAY_KEY, isa=name)
            hold_to_step(got, step, case, geometry)
            packets = got["packets"]


@pytest.mark.parametrize("name", isa.supported())
def test_delays_to_the_last_bit(vectors, name):
    pairs = vectors("sphinx/delays.json")["seed_to_delay"]
    assert len(pairs) == 2000
    got = _unwrap.delays(rows(*(bytes.fromhex(seed) for seed, _ in pairs)), isa=name)
    assert got.tolist() == [delay for _, delay in pairs]


@pytest.mark.parametrize("name", isa.supported())
def test_lioness_vector_and_back(vectors, name):
    (vector,) = vectors("lioness/lioness_blake2b_chacha20.json")["tests"]
    key, clear, sealed = (rows(bytes.fromhex(vector[part])) for part in ("key", "input", "output"))
    assert np.array_equal(_unwrap.lioness_encrypt(clear, key, isa=name), sealed)
    assert np.array_equal(_unwrap.lioness_decrypt(sealed, key, isa=name), clear)


@pytest.mark.parametrize("name", isa.supported())
@pytest.mark.parametrize("n", [*BATCH_SIZES, 257])
def test_lioness_lanes_equal_the_twin(name, n):
    rng = np.random.default_rng(n)
    size = int(rng.integers(33, 400))
    blocks, keys = rng.integers(0, 256, (n, size), np.uint8), rng.integers(0, 256, (n, 192), np.uint8)
    sealed = _unwrap.lioness_encrypt(blocks, keys, isa=name)
    assert np.array_equal(_unwrap.lioness_decrypt(sealed, keys, isa=name), blocks)
    for i in range(0, n, 16):
        assert sealed[i].tobytes() == lioness.encrypt(keys[i].tobytes(), blocks[i].tobytes())
