"""Our own vectors are what the test peer says, and the peer obeys its own rules."""

import importlib.util
import json
import random
from pathlib import Path

import peer_fragments as fragments
import peer_link as link
import peer_sphinx as sphinx
import pytest

TESTS = Path(__file__).parent.parent
FOLDER = TESTS / "vectors" / "fastmix"


def load(name):
    return json.loads((FOLDER / name).read_text())


def test_vectors_are_those_of_the_generator():
    spec = importlib.util.spec_from_file_location("make_vectors", TESTS / "make_vectors.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert maker.make(maker.SEED) == {path.name: path.read_text() for path in FOLDER.glob("*.json")}


def test_frames_open():
    for case in load("frames.json")["cases"]:
        opened = link.open_frame(bytes.fromhex(case["root"]), bytes.fromhex(case["frame"]))
        assert opened == (case["step"], case["seq"], case["key_slot"], bytes.fromhex(case["packet"]))


def test_damaged_frames_do_not_open():
    damaged = load("frames.json")["damaged"]
    for case in damaged["cases"]:
        with pytest.raises(sphinx.Dropped, match=case["dropped"]):
            link.open_frame(bytes.fromhex(damaged["root"]), bytes.fromhex(case["frame"]))


def test_links_of_two_ends_meet():
    secret, a, b = bytes(range(32)), b"a" * 32, link.node_id(3)
    ours, theirs = link.Link(secret, a, b, "wan"), link.Link(secret, b, a, "wan")
    packets = [bytes([i]) * 1200 for i in range(3)]
    frames = ours.seal(packets, 5)
    assert [theirs.open(frame) for frame in frames[::-1]] == [(5, packet) for packet in packets[::-1]]
    for bad in (frames[0], frames[0][:-1], bytes(1232)):
        with pytest.raises(sphinx.Dropped):
            theirs.open(bad)


def test_messages_join():
    for case in load("fragments.json")["messages"]:
        parsed = [fragments.Fragment.parse(bytes.fromhex(f)) for f in case["fragments"]]
        random.Random(1).shuffle(parsed)
        records, data = fragments.join(parsed)
        assert ([r.hex() for r in records], data.hex()) == (case["reply_records"], case["data"])


def test_malformed_fragments_are_dropped():
    for case in load("fragments.json")["malformed"]:
        with pytest.raises(sphinx.Dropped):
            fragments.Fragment.parse(bytes.fromhex(case["fragment"]))
