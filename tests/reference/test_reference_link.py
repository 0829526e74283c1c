"""The link twin: roots, frames against the second oracle, and the replay window."""

import random

import oracle
import pytest

from fastmix.packet.geometry import COUNTER_END, JUMBO, WAN, WINDOW_SIZE
from fastmix.packet.verdict import Verdict
from fastmix.reference import link

ROOT = bytes(range(32))
A, B = b"a" * 32, b"b" * 32


def test_static_roots_are_the_documented_hkdf():
    secret = b"s" * 32
    index = link.static_index(secret, A, B)
    assert index == int.from_bytes(oracle.hkdf(secret, 4, b"fastmix static index" + A + B), "little")
    for geometry, code in ((WAN, b"\x01"), (JUMBO, b"\x02")):
        info = b"fastmix link root v1" + A + B + index.to_bytes(4, "little") + code + bytes(32)
        assert link.link_root(secret, A, B, index, geometry) == oracle.hkdf(secret, 32, info)


def test_each_direction_geometry_and_exchange_has_its_own_root():
    roots = {
        link.link_root(b"s" * 32, sender, receiver, 7, geometry, exchange)
        for sender, receiver in ((A, B), (B, A))
        for geometry in (WAN, JUMBO)
        for exchange in (link.STATIC_EXCHANGE, b"x" * 32)
    }
    assert len(roots) == 8
    assert link.static_index(b"s" * 32, A, B) != link.static_index(b"s" * 32, B, A)


@pytest.mark.parametrize("geometry", [WAN, JUMBO], ids=["wan", "jumbo"])
def test_frames_are_those_of_the_oracle(geometry):
    random_ = random.Random(3)
    for _ in range(10):
        root, packet = random_.randbytes(32), random_.randbytes(geometry.packet_size)
        index, step, seq, key_slot = (random_.getrandbits(bits) for bits in (32, 31, 31, 8))
        frame = link.seal(root, index, step, seq, key_slot, packet)
        assert len(frame) == geometry.frame_size
        assert frame == oracle.seal(root, index, step, seq, key_slot, packet)
        opened = link.open_frame(root, frame)
        assert opened == oracle.open_frame(root, frame) == link.Opened(Verdict.OK, step, seq, key_slot, packet)


def test_a_bit_flip_in_every_part_of_a_frame_is_dropped():
    frame = link.seal(ROOT, 9, 1, 2, 3, bytes(WAN.packet_size))
    for at in (*range(40), 600, *range(len(frame) - 20, len(frame))):
        flipped = frame[:at] + bytes([frame[at] ^ 0x80 >> at % 8]) + frame[at + 1 :]
        assert link.open_frame(ROOT, flipped) == oracle.open_frame(ROOT, flipped) == link.Opened(Verdict.DROP_LINK_AUTH)


def test_the_counter_is_hidden():
    frames = [link.seal(ROOT, 9, 1, seq, 3, bytes(64)) for seq in range(8)]
    assert len({frame[4:8] for frame in frames}) == 8
    assert not any(frame[4:8] == link.u32(1) for frame in frames)


@pytest.mark.parametrize(("step", "seq"), [(COUNTER_END, 0), (0, COUNTER_END), (2**32 - 1, 2**32 - 1)])
def test_a_used_up_root_neither_seals_nor_opens(step, seq):
    with pytest.raises(ValueError, match="needs a new root"):
        link.seal(ROOT, 9, step, seq, 0, bytes(64))
    frame = oracle.seal(ROOT, 9, step, seq, 0, bytes(64))
    assert link.open_frame(ROOT, frame) == oracle.open_frame(ROOT, frame) == link.Opened(Verdict.DROP_LINK_EXHAUSTED)


@pytest.mark.parametrize("rest", [b"\x01\0\0", b"\0\x01\0", b"\0\0\x80"])
def test_flags_and_padding_must_be_zero(rest):
    frame = oracle.seal(ROOT, 9, 1, 2, 3, bytes(64), rest)
    assert link.open_frame(ROOT, frame) == oracle.open_frame(ROOT, frame) == link.Opened(Verdict.DROP_LINK_FLAGS)


def test_a_frame_without_room_for_itself_is_dropped():
    assert link.open_frame(ROOT, bytes(31)).verdict == Verdict.DROP_LENGTH


def test_window():
    window = link.Window()
    assert [window.accept(seq) for seq in (0, 0, 5, 3, 3)] == [Verdict.OK, Verdict.DROP_LINK_REPLAY] + [Verdict.OK] * 2 + [
        Verdict.DROP_LINK_REPLAY
    ]
    top = 20_000
    assert window.accept(top) == Verdict.OK
    assert window.accept(top - WINDOW_SIZE) == Verdict.DROP_LINK_OLD
    assert window.accept(top - WINDOW_SIZE + 1) == Verdict.OK
    assert window.accept(top - WINDOW_SIZE + 1) == Verdict.DROP_LINK_REPLAY
    assert window.accept(3) == Verdict.DROP_LINK_OLD


def test_window_accepts_each_number_once():
    random_ = random.Random(5)
    window, accepted, top = link.Window(), set(), 0
    for _ in range(5000):
        seq = max(0, top + random_.randint(-WINDOW_SIZE - 20, 40))
        verdict = window.accept(seq)
        old = seq <= top - WINDOW_SIZE
        expected = Verdict.DROP_LINK_OLD if old else Verdict.DROP_LINK_REPLAY if seq in accepted else Verdict.OK
        assert verdict == expected
        if verdict == Verdict.OK:
            accepted.add(seq)
            top = max(top, seq)
