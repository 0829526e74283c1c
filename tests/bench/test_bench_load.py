"""The load generator and its sink without a node: frames go straight from one to the other."""

import os
import socket
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from fastmix.bench._load import Load
from fastmix.kernels._link import Root, seal
from fastmix.packet.geometry import WAN

ROOT, INDEX = bytes(range(32)), 77
Bytes = npt.NDArray[np.uint8]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A source that is connected to a sink."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        source.connect(sink.getsockname())
        yield source, sink


def packets(n: int) -> tuple[Bytes, Bytes]:
    """Unsealed frames u8[n, F] and the `kx_public` of each, all distinct."""
    frames = np.frombuffer(bytearray(os.urandom(n * WAN.frame_size)), np.uint8).reshape(n, -1)
    frames[:, 12:16] = 0
    return frames, frames[:, 16:48].copy()


def sealed(frames: Bytes, step: int) -> Bytes:
    """A copy, as one batch."""
    frames = frames.copy()
    seal(frames, Root(ROOT), INDEX, step, 1000 * step)
    return frames


def load_of(pair: tuple[socket.socket, socket.socket], frames: Bytes, kx_publics: Bytes, together: int = 1) -> Load:
    source, sink = pair
    return Load(frames, kx_publics, [source.fileno()], sink.fileno(), [(INDEX, ROOT)], 4, False, together)


def carried(load: Load, n: int, interval_ns: float = 0.0) -> None:
    """Until n frames have come."""
    load.schedule(time.monotonic_ns(), interval_ns, 10**12)
    give_up = time.monotonic() + 30
    while load.counts()["received"] < n and time.monotonic() < give_up:
        load.run(time.monotonic_ns() + 2_000_000)
    assert load.counts()["received"] == n


def test_what_comes_twice_is_known_through_the_loads_before(pair: tuple[socket.socket, socket.socket]) -> None:
    """Copies have zeros for their `kx_public`: they are of the load that has sent the packet first."""
    first_frames, first_kx = packets(8)
    first = load_of(pair, sealed(first_frames, 0), first_kx)
    carried(first, 8)
    second_frames, second_kx = packets(4)
    both = np.concatenate((second_frames, first_frames))
    kx = np.concatenate((second_kx, np.zeros_like(first_kx)))
    second = load_of(pair, sealed(both, 1), kx)
    second.follow(first)
    first.arrived_ns[:3] = 0  # as if these had been lost the first time
    carried(second, 12)
    counts = second.counts()
    assert (counts["doubled"], counts["unknown"], counts["bad"]) == (5, 0, 0)
    assert first.arrived_ns.all()
    assert second.arrived_ns[:4].all()
    assert not second.arrived_ns[4:].any()
    third = load_of(pair, sealed(both, 2), np.zeros_like(kx))
    third.follow(second)
    carried(third, 12)
    assert third.counts()["doubled"] == 12
    third.follow(None)
    carried_before = third.counts()["received"]
    last = load_of(pair, sealed(both, 3), np.zeros_like(kx))
    carried(last, 12)
    assert (last.counts()["unknown"], carried_before) == (12, 12)


def test_bursts_that_leave_together(pair: tuple[socket.socket, socket.socket]) -> None:
    """Two bursts each 40 ms: the fourth pair is due 120 ms after the first, so all eight take that long at least."""
    frames, kx = packets(32)
    load = load_of(pair, sealed(frames, 0), kx, together=2)
    began = time.monotonic_ns()
    carried(load, 32, 40e6)
    assert time.monotonic_ns() - began >= 120e6
    with pytest.raises(ValueError, match="0 bursts together"):
        load_of(pair, frames, kx, together=0)
