"""Channels: two ends of a link speak to each other, count, and end."""

import os
import struct

import numpy as np
import pytest
from oracle import seal as seal_frame

from fastmix.errors import CryptoError, ResourceExhausted
from fastmix.links.channel import Channel
from fastmix.packet.geometry import COUNTER_END, JUMBO, WAN, Geometry
from fastmix.packet.verdict import Verdict

OK = Verdict.OK
ROOT_A, ROOT_B = bytes(range(32)), bytes(range(32, 64))


def ends(geometry: Geometry = WAN, first_step: int = 0, first_seq: int = 0) -> tuple[Channel, Channel]:
    there = Channel(ROOT_A, ROOT_B, 11, 22, geometry, first_step, first_seq)
    here = Channel(ROOT_B, ROOT_A, 22, 11, geometry, first_step, first_seq)
    return there, here


def packets(seed: int, n: int, geometry: Geometry = WAN) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, geometry.packet_size), np.uint8)


@pytest.mark.parametrize("geometry", [WAN, JUMBO], ids=lambda geometry: geometry.name)
@pytest.mark.parametrize("n", [0, 1, 9, 256, 300])
def test_both_ways(n: int, geometry: Geometry) -> None:
    a, b = ends(geometry)
    for sender, receiver in ((a, b), (b, a), (a, b)):
        sent = packets(n, n, geometry)
        verdicts, key_slots, got = receiver.open(sender.seal(sent, key_slot=300))
        assert (verdicts == OK).all()
        assert (key_slots == 300 % 256).all()
        assert (got == sent).all()


def test_a_call_is_a_step_and_a_packet_a_number() -> None:
    a, b = ends()
    sent = packets(1, 5)
    frames = np.concatenate([a.seal(sent[:3]), a.seal(sent[3:])])
    assert (a.next_step, a.next_seq) == (2, 5)
    verdicts, steps, seqs = b.counters(frames)
    assert (verdicts == OK).all()
    assert steps.tolist() == [0, 0, 0, 1, 1]
    assert seqs.tolist() == [0, 1, 2, 3, 4]
    assert frames[4].tobytes() == seal_frame(ROOT_B, 22, 1, 4, 0, sent[4].tobytes())
    assert (b.open(frames)[0] == OK).all(), "looking at counters remembers nothing"


def test_the_callers_packets_stay_as_they_are() -> None:
    a, b = ends()
    sent = packets(2, 4)
    before = sent.copy()
    frames = a.seal(sent)
    kept = frames.copy()
    b.open(frames)
    assert (sent == before).all()
    assert (frames == kept).all()


def test_replays_strangers_and_changed_frames() -> None:
    a, b = ends()
    frames = a.seal(packets(3, 4))
    assert (b.open(frames[:2])[0] == OK).all()
    mixed = frames.copy()
    mixed[2, 0] ^= 1
    mixed[3, 500] ^= 1
    verdicts, key_slots, got = b.open(mixed)
    assert verdicts.tolist() == [
        Verdict.DROP_LINK_REPLAY,
        Verdict.DROP_LINK_REPLAY,
        Verdict.DROP_UNKNOWN_INDEX,
        Verdict.DROP_LINK_AUTH,
    ]
    assert not got.any()
    assert not key_slots.any()


def test_a_frame_does_not_come_back_to_its_sender() -> None:
    a, _ = ends()
    frames = a.seal(packets(4, 1))
    assert a.open(frames)[0].tolist() == [Verdict.DROP_UNKNOWN_INDEX]
    frames[:, :4] = np.frombuffer(struct.pack("<I", a.receiver_index_in), np.uint8)
    assert a.open(frames)[0].tolist() == [Verdict.DROP_LINK_AUTH]


def test_too_old() -> None:
    a, b = ends()
    first = a.seal(packets(5, 1))
    a.next_seq = 9000
    assert b.open(a.seal(packets(5, 1)))[0].tolist() == [OK]
    assert b.open(first)[0].tolist() == [Verdict.DROP_LINK_OLD]


def test_a_root_ends_at_2_31_of_either_number() -> None:
    a, b = ends(first_step=COUNTER_END - 1, first_seq=COUNTER_END - 3)
    with pytest.raises(ResourceExhausted, match="4 packets more"):
        a.seal(packets(6, 4))
    assert b.open(a.seal(packets(6, 3)))[0].tolist() == [OK] * 3
    with pytest.raises(ResourceExhausted, match="step 2147483648"):
        a.seal(packets(6, 0))


def test_wrong_shapes_are_named() -> None:
    a, _ = ends()
    with pytest.raises(ValueError, match=r"uint8\[1, 1199\]: expected uint8\[n, 1200\] for geometry wan"):
        a.seal(np.zeros((1, 1199), np.uint8))
    with pytest.raises(ValueError, match=r"expected uint8\[n, 1232\]"):
        a.open(np.zeros(1232, np.uint8))
    with pytest.raises(ValueError, match="uint16"):
        a.seal(np.zeros((1, 1200), np.uint16))


def test_no_root_in_its_words() -> None:
    a, _ = ends()
    assert ROOT_A.hex() not in repr(a) + repr(vars(a))
    a.wipe()
    with pytest.raises(TypeError):
        vars(a)["_root_in"].__reduce__()


def test_a_fork_does_not_share_a_channel() -> None:
    """Both would seal under one key and number."""
    ours, _ = ends()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ours.seal(packets(1, 1))
            answer = b"sealed"
        except CryptoError as error:
            answer = str(error).encode()
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        assert f"process {child} uses a channel of process {os.getpid()}" in said.read()
    assert len(ours.seal(packets(1, 1))) == 1
