"""Datagrams in memory: the same two calls as over a socket."""

import errno

import numpy as np
import pytest

from fastmix.udp._rings import MemoryIo
from fastmix.udp.address import ADDRESS, address_pair, pack_address

HERE, THERE = pack_address("127.0.0.1", 1), pack_address("::1", 2)


def test_what_is_pushed_is_received() -> None:
    io, rows = MemoryIo(8, 100), np.zeros((8, 50), np.uint8)
    for size, sender in ((0, HERE), (1, THERE), (50, HERE), (51, HERE), (100, HERE), (5000, HERE)):
        assert io.push(bytes([size % 256]) * size, sender)
    assert io.waiting == 6
    count, sizes, senders = io.recv_into(rows[:4])
    assert (count, sizes.tolist()) == (4, [0, 1, 50, 51])
    assert [address_pair(sender)[1] for sender in senders] == [1, 2, 1, 1]
    assert rows[3].tolist() == [51] * 50
    count, sizes, _ = io.recv_into(rows)
    assert (count, sizes.tolist()) == (2, [100, 5000])
    assert io.recv_into(rows)[0] == 0


def test_what_is_sent_is_popped() -> None:
    io = MemoryIo(4, 100)
    rows = np.arange(3, dtype=np.uint8).repeat(100).reshape(3, 100)
    assert not io.send_from(rows, np.array([0, 7, 100], np.uint32), np.array([HERE, THERE, HERE], ADDRESS)).any()
    sent = io.pop_sent()
    assert [(address_pair(to)[1], datagram) for to, datagram in sent] == [(1, b""), (2, bytes([1] * 7)), (1, bytes([2] * 100))]
    assert io.pop_sent() == []


def test_full_rings_refuse_and_count() -> None:
    io = MemoryIo(3, 10)
    assert [io.push(b"x", HERE) for _ in range(5)] == [True, True, True, False, False]
    assert (io.dropped, io.waiting) == (2, 3)
    rows, sizes = np.zeros((5, 10), np.uint8), np.full(5, 10, np.uint32)
    results = io.send_from(rows, sizes, np.array([HERE] * 5, ADDRESS))
    assert results.tolist() == [0, 0, 0, -errno.ENOBUFS, -errno.ENOBUFS]
    assert len(io.pop_sent()) == 3


def test_rings_go_round() -> None:
    """Order and contents over many turns, with every fill."""
    io, rows, random = MemoryIo(7, 4), np.zeros((7, 4), np.uint8), np.random.default_rng(1)
    pushed: list[int] = []
    received: list[int] = []
    for number in range(1000):
        if io.push(number.to_bytes(4, "little"), HERE):
            pushed.append(number)
        if random.random() < 0.3:
            count, _, _ = io.recv_into(rows[: random.integers(1, 8)])
            received += rows[:count].copy().view("<u4")[:, 0].tolist()
            io.send_from(rows[:count].copy(), np.full(count, 4, np.uint32), np.array([THERE] * count, ADDRESS))
            assert len(io.pop_sent()) == count
    assert len(received) > 500
    assert received == pushed[: len(received)]
    assert len(pushed) + io.dropped == 1000


def test_memory_does_not_wait() -> None:
    MemoryIo(1, 1).wait(3_600_000_000_000)


def test_sizes_must_be_positive() -> None:
    with pytest.raises(ValueError, match="capacity 0"):
        MemoryIo(0, 1)
    with pytest.raises(ValueError, match="row_size 0"):
        MemoryIo(1, 0)
