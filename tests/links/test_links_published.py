"""Roots and frames as published in tests/vectors/fastmix, which the plain implementation of tests/peer made."""

import numpy as np
import pytest

from fastmix.kernels._link import Root, open_frames
from fastmix.links.channel import Channel
from fastmix.links.static import hkdf, root_info, static_receiver_index
from fastmix.packet.geometry import GEOMETRIES
from fastmix.packet.verdict import Verdict


def channel(case, **first):
    """A channel that sends to itself under the case's root."""
    root, index = bytes.fromhex(case["root"]), case["receiver_index"]
    return Channel(root, root, index, index, GEOMETRIES[case["geometry"]], **first)


def row(text):
    return np.frombuffer(bytes.fromhex(text), np.uint8)[np.newaxis]


def test_roots(vectors):
    for case in vectors("fastmix/roots.json")["cases"]:
        secret, sender, receiver = (bytes.fromhex(case[name]) for name in ("secret", "sender", "receiver"))
        index = static_receiver_index(secret, sender, receiver)
        assert index == case["receiver_index"]
        root = hkdf(secret, 32, root_info(sender, receiver, index, GEOMETRIES[case["geometry"]].code))
        assert root.hex() == case["root"]


def test_frames_are_sealed_and_opened_to_the_byte(vectors):
    for case in vectors("fastmix/frames.json")["cases"]:
        end = channel(case, first_step=case["step"], first_seq=case["seq"])
        assert end.seal(row(case["packet"]), case["key_slot"])[0].tobytes().hex() == case["frame"]
        verdicts, key_slots, packets = end.open(row(case["frame"]))
        assert (verdicts[0], key_slots[0]) == (Verdict.OK, case["key_slot"])
        assert packets[0].tobytes().hex() == case["packet"]


def test_damaged_frames_fail_at_the_check_that_is_published(vectors):
    damaged = vectors("fastmix/frames.json")["damaged"]
    root = Root(bytes.fromhex(damaged["root"]))
    verdict_of = {"link tag": Verdict.DROP_LINK_AUTH, "exhausted": Verdict.DROP_LINK_EXHAUSTED}
    for case in damaged["cases"]:
        frame = row(case["frame"]).copy()
        verdicts, _ = open_frames(frame, [root], None, np.zeros_like(frame))
        assert verdicts[0] == verdict_of[case["dropped"]], case.get("at")


def test_vectors_are_of_both_geometries(vectors):
    for name in ("fastmix/roots.json", "fastmix/frames.json"):
        assert {case["geometry"] for case in vectors(name)["cases"]} == set(GEOMETRIES)


def test_another_geometry_is_another_root(vectors):
    case = vectors("fastmix/roots.json")["cases"][0]
    ids = [bytes.fromhex(case[name]) for name in ("sender", "receiver")]
    infos = {root_info(*ids, case["receiver_index"], geometry.code) for geometry in GEOMETRIES.values()}
    assert len(infos) == 2
    with pytest.raises(OverflowError):
        root_info(*ids, 1 << 32, 1)
