"""Link frames in C against the twin and the oracle, in batches of every shape."""

import pickle
import random

import numpy as np
import pytest
from oracle import seal as seal_frame

from fastmix.kernels._link import Root, Window, open_frames, seal
from fastmix.packet.geometry import JUMBO, WAN, Geometry
from fastmix.packet.verdict import Verdict
from fastmix.reference import link

OK = Verdict.OK
INDEX = 0x01020304
SIZES = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 64, 256, 300]
GEOMETRIES = pytest.mark.parametrize("geometry", [WAN, JUMBO], ids=lambda geometry: geometry.name)


def packets(seed: int, n: int, geometry: Geometry) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, geometry.packet_size), np.uint8)


def rows_of(seed: int, n: int, geometry: Geometry, key_slot: int = 0) -> np.ndarray:
    """Rows to seal; what is not key slot or packet is filled, since nothing may be taken from it."""
    rows = np.full((n, geometry.frame_size), 0xA5, np.uint8)
    rows[:, 12] = key_slot
    rows[:, 16:-16] = packets(seed, n, geometry)
    return rows


def as_rows(frames: list[bytes]) -> np.ndarray:
    """u8[n, F] of frames of one length."""
    return np.frombuffer(b"".join(frames), np.uint8).reshape(len(frames), -1).copy()


def root_bytes(number: int) -> bytes:
    return np.random.default_rng(1000 + number).bytes(32)


@GEOMETRIES
@pytest.mark.parametrize("n", SIZES)
def test_seal_equals_the_oracle(n: int, geometry: Geometry) -> None:
    root, rows = root_bytes(n), rows_of(n, n, geometry, key_slot=200)
    plain = rows[:, 16:-16].copy()
    seal(rows, Root(root), INDEX, 77, 1000)
    for i in range(n):
        assert rows[i].tobytes() == seal_frame(root, INDEX, 77, 1000 + i, 200, plain[i].tobytes())


@GEOMETRIES
@pytest.mark.parametrize("n", SIZES)
def test_open_takes_the_oracles_frames(n: int, geometry: Geometry) -> None:
    """A root, a step and a key slot for each frame, as when many links meet in one batch."""
    plain = packets(n, n, geometry)
    roots = [root_bytes(i % 5) for i in range(n)]
    frames = [seal_frame(roots[i], i, 3 * i, 7 * i, i % 256, plain[i].tobytes()) for i in range(n)]
    rows = np.zeros((n, geometry.frame_size), np.uint8)
    array = as_rows(frames) if n else rows.copy()
    verdicts, counters = open_frames(array, [Root(root) for root in roots], None, rows)
    assert (verdicts == OK).all()
    assert counters.tolist() == [7 * i << 32 | 3 * i for i in range(n)]
    assert (rows[:, 16:-16] == plain).all()
    assert rows[:, 12].tolist() == [i % 256 for i in range(n)]
    assert not rows[:, 13:16].any()


@GEOMETRIES
def test_equal_to_the_twin(geometry: Geometry) -> None:
    """Both ways, and what the twin says of frames that are changed, forged or under another root."""
    chance, n = random.Random(15), 9
    root, plain = root_bytes(15), packets(15, n, geometry)
    frames = [link.seal(root, INDEX, 2**31 - 1 - i, 5 * i, 250 + i % 6, plain[i].tobytes()) for i in range(n)]
    rows = np.zeros((n, geometry.frame_size), np.uint8)
    rows[:, 12], rows[:, 16:-16] = [250 + i % 6 for i in range(n)], plain
    for i in range(n):
        seal(rows[i : i + 1], Root(root), INDEX, 2**31 - 1 - i, 5 * i)
    assert [row.tobytes() for row in rows] == frames
    frames[3] = frames[3][:20] + bytes([frames[3][20] ^ 1]) + frames[3][21:]
    frames[5] = chance.randbytes(geometry.frame_size)
    frames[7] = link.seal(root_bytes(16), INDEX, 0, 0, 0, plain[7].tobytes())
    verdicts, counters = open_frames(as_rows(frames), [Root(root)] * n, None, rows)
    for i, opened in enumerate(link.open_frame(root, frame) for frame in frames):
        assert verdicts[i] == opened.verdict
        if opened.verdict == OK:
            assert (counters[i], rows[i, 12]) == (opened.seq << 32 | opened.step, opened.key_slot)
            assert rows[i, 16:-16].tobytes() == opened.packet


@pytest.mark.parametrize("n", [1, 7, 8, 9, 64, 256])
def test_one_bad_frame_at_each_position(n: int) -> None:
    root = Root(root_bytes(1))
    good = rows_of(n, n, WAN)
    plain = good[:, 16:-16].copy()
    seal(good, root, INDEX, 1, 0)
    for bad in range(n):
        frames = good.copy()
        frames[bad, 12 + (bad * 37) % 1220] ^= 1 << bad % 8
        rows = np.full_like(frames, 0xEE)
        verdicts, _ = open_frames(frames, [root] * n, None, rows)
        expected = np.full(n, OK, np.uint8)
        expected[bad] = Verdict.DROP_LINK_AUTH
        assert (verdicts == expected).all()
        assert (rows[bad] == 0xEE).all(), "a bad frame is not decrypted"
        others = np.arange(n) != bad
        assert (rows[others, 16:-16] == plain[others]).all()


@GEOMETRIES
def test_every_bit_flip_is_refused(geometry: Geometry) -> None:
    """One bit in every byte, all eight in the frame's head and tag; the receiver index is authenticated too."""
    root, frame = Root(root_bytes(2)), rows_of(2, 1, geometry)
    seal(frame, root, INDEX, 5, 6)
    size = geometry.frame_size
    ends = [(at, bit) for at in [*range(16), *range(size - 16, size)] for bit in range(8)]
    flips = ends + [(at, at % 8) for at in range(16, size - 16)]
    frames = np.repeat(frame, len(flips), axis=0)
    for i, (at, bit) in enumerate(flips):
        frames[i, at] ^= 1 << bit
    verdicts, _ = open_frames(frames, [root] * len(flips))
    assert (verdicts == Verdict.DROP_LINK_AUTH).all()


def test_another_links_root_is_refused() -> None:
    frame = rows_of(3, 1, WAN)
    seal(frame, Root(root_bytes(3)), INDEX, 0, 0)
    assert open_frames(frame, [Root(root_bytes(4))])[0].tolist() == [Verdict.DROP_LINK_AUTH]


END = 1 << 31


@pytest.mark.parametrize(
    ("step", "seq", "verdict"),
    [
        (END - 1, END - 1, OK),
        (END, 0, Verdict.DROP_LINK_EXHAUSTED),
        (0, END, Verdict.DROP_LINK_EXHAUSTED),
        (END, END, Verdict.DROP_LINK_EXHAUSTED),
        (2**32 - 1, 2**32 - 1, Verdict.DROP_LINK_EXHAUSTED),
        (2**32 - 1, 0, Verdict.DROP_LINK_EXHAUSTED),
        (0, 2**32 - 1, Verdict.DROP_LINK_EXHAUSTED),
    ],
)
def test_a_root_ends(step: int, seq: int, verdict: Verdict) -> None:
    """Authentic frames of a peer that does not stop; the window does not see them."""
    root, window = root_bytes(5), Window()
    frames = as_rows([seal_frame(root, INDEX, step, seq, 0, bytes(WAN.packet_size))])
    assert open_frames(frames, [Root(root)], window)[0].tolist() == [verdict]
    assert window.top == (seq + 1 if verdict == OK else 0)


@pytest.mark.parametrize("counter", [0, 1, END, END << 32, 2**63, 2**64 - 2, 2**64 - 1])
def test_forged_counters(counter: int) -> None:
    """The counter that the mask uncovers is the forger's, but not the tag: the step's key and the nonce are others."""
    root = root_bytes(6)
    frame = bytearray(seal_frame(root, INDEX, 9, 9, 0, bytes(WAN.packet_size)))
    frame[4:12] = link.xor(link.counter_mask(root, bytes(frame[-16:])), counter.to_bytes(8, "little"))
    verdicts, counters = open_frames(as_rows([bytes(frame)]), [Root(root)])
    assert verdicts.tolist() == [Verdict.DROP_LINK_AUTH]
    assert counters.tolist() == [counter]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_flags_and_padding_must_be_zero(at: int) -> None:
    root = root_bytes(7)
    packet, rest = bytes(WAN.packet_size), bytearray(3)
    rest[at - 1] = 0x80
    frames = as_rows([seal_frame(root, INDEX, 0, i, 0, packet, bytes(rest) if i == 1 else bytes(3)) for i in range(3)])
    rows = np.zeros_like(frames)
    assert open_frames(frames, [Root(root)] * 3, None, rows)[0].tolist() == [OK, Verdict.DROP_LINK_FLAGS, OK]


def test_random_datagrams_are_refused() -> None:
    rows = np.random.default_rng(8).integers(0, 256, (256, WAN.frame_size), np.uint8)
    assert (open_frames(rows, [Root(root_bytes(8))] * 256, Window())[0] == Verdict.DROP_LINK_AUTH).all()


def test_duplicates_in_one_batch() -> None:
    root, window, frames = Root(root_bytes(9)), Window(), rows_of(9, 4, WAN)
    seal(frames, root, INDEX, 0, 0)
    opened = np.zeros((6, WAN.frame_size), np.uint8)
    verdicts, _ = open_frames(frames[[0, 1, 1, 2, 0, 3]].copy(), [root] * 6, window, opened)
    again = Verdict.DROP_LINK_REPLAY
    assert verdicts.tolist() == [OK, OK, again, OK, again, OK]
    assert not opened[[2, 4]].any()


def test_a_junk_frame_does_not_move_the_window() -> None:
    root, window = root_bytes(10), Window()
    frame = bytearray(seal_frame(root, INDEX, 0, END - 1, 0, bytes(WAN.packet_size)))
    frame[100] ^= 1
    open_frames(as_rows([bytes(frame)]), [Root(root)], window)
    assert window.top == 0


def test_equal_packets_do_not_look_equal() -> None:
    """Neither the masked counter nor the sealed part repeats or counts up in the open."""
    frames = np.zeros((256, WAN.frame_size), np.uint8)
    seal(frames, Root(root_bytes(11)), INDEX, 0, 0)
    for part in (slice(4, 12), slice(12, 28), slice(-16, None)):
        assert len({row[part].tobytes() for row in frames}) == 256
    assert (np.diff(frames[:, 4:12].astype(int), axis=0) != 0).any(axis=1).all()


def test_wrong_shapes_are_named() -> None:
    root, frames = Root(root_bytes(12)), np.zeros((2, WAN.frame_size), np.uint8)
    with pytest.raises(ValueError, match="32"):
        Root(bytes(31))
    with pytest.raises(ValueError, match="1232 or 2284"):
        seal(np.zeros((1, 1231), np.uint8), root, 0, 0, 0)
    with pytest.raises(ValueError, match="roots must be as many"):
        open_frames(frames, [root])
    with pytest.raises(ValueError, match="rows of that shape"):
        open_frames(frames, [root] * 2, None, np.zeros((1, WAN.frame_size), np.uint8))
    with pytest.raises(TypeError):
        open_frames(frames, [root, None])  # type: ignore[list-item]


def test_a_root_does_not_leave_its_process() -> None:
    secret = root_bytes(13)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Root(secret))
    assert secret.hex() not in repr(Root(secret))


def test_a_wiped_root_opens_nothing() -> None:
    root, frames = Root(root_bytes(14)), rows_of(14, 1, WAN)
    seal(frames, root, INDEX, 0, 0)
    root.wipe()
    assert open_frames(frames, [root])[0].tolist() == [Verdict.DROP_LINK_AUTH]
