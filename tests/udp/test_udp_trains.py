"""Trains over loopback: what the kernel hands over as one message comes out as the datagrams that were sent, and the other way
round."""

import ctypes
import errno
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fastmix.udp._datagram_io import DatagramIo
from fastmix.udp._gso import GsoIo
from fastmix.udp.address import ADDRESS, pack_address
from fastmix.udp.backends import max_segments
from fastmix.udp.endpoint import SO_RCVBUFFORCE, UdpEndpoint, open_endpoint, set_buffer

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
SO_NO_CHECK, UDP_NO_CHECK6_TX, UDP_NO_CHECK6_RX = 11, 101, 102
SIZE = 1232
NEVER_NS = 1 << 62


def noise(n: int, size: int = SIZE, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size), np.uint8)


def send_train(sock: socket.socket, data: bytes, size: int, address: Any) -> None:
    """What a sender with UDP_SEGMENT does: one call, datagrams of size bytes, the last may be shorter."""
    sent = sock.sendmsg([data], [(SOL_UDP, UDP_SEGMENT, size.to_bytes(2, "little"))], 0, address)
    assert sent == len(data)


def drain(io: DatagramIo, n: int, at_once: int = 256, size: int = SIZE) -> tuple[np.ndarray, list[int]]:
    """n datagrams and not one more: rows, sizes."""
    rows, sizes = np.zeros((n + 1, size), np.uint8), []
    while len(sizes) < n:
        io.wait(2_000_000_000)
        count, some, _ = io.recv_into(rows[len(sizes) : len(sizes) + at_once])
        assert count, f"{len(sizes)} of {n} came"
        sizes += some.tolist()
    assert io.recv_into(rows[:1])[0] == 0, "more came than was sent"
    return rows[:n], sizes


@dataclass
class Pair:
    """A node's socket with trains, and a socket of Python's own beside it."""

    host: str
    endpoint: UdpEndpoint = field(init=False)
    sock: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.endpoint = open_endpoint(self.host, 0, backend="gso")
        self.sock = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((self.host, 0))
        self.sock.setsockopt(SOL_UDP, UDP_GRO, 1)
        set_buffer(self.sock, SO_RCVBUFFORCE, socket.SO_RCVBUF, 1 << 20)
        self.sock.settimeout(2)

    def messages(self, n: int) -> list[tuple[bytes, int]]:
        """What the kernel hands to the other socket, until n bytes have come: (bytes, size of the datagrams in it, 0: one)."""
        found: list[tuple[bytes, int]] = []
        while sum(len(data) for data, _ in found) < n:
            data, control, _, _ = self.sock.recvmsg(65536, 64)
            found.append((data, int.from_bytes(control[0][2][:4], "little") if control else 0))
        return found

    def targets(self, n: int) -> np.ndarray:
        return np.array([pack_address(*self.sock.getsockname()[:2])] * n, ADDRESS)


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both versions of IP."""
    made = Pair(request.param)
    with made.endpoint, made.sock:
        yield made


@pytest.mark.parametrize("at_once", [1, 7, 100, 256])
def test_trains_land_whole_and_in_order(pair: Pair, at_once: int) -> None:
    """Plain datagrams and trains of all lengths, taken in bites that are no multiple of them."""
    io, data, at = pair.endpoint.io(row_size=SIZE), noise(700), 0
    for length in (1, 2, 53, 1, 1, 30, 44, 3, 53, 1) * 3:
        rows = data[at : at + length]
        send_train(pair.sock, rows.tobytes(), SIZE, pair.endpoint.address)
        at += len(rows)
    rows, sizes = drain(io, at, at_once)
    assert sizes == [SIZE] * at
    assert (rows == data[:at]).all()
    assert pair.endpoint.kernel_drop_events() == 0


def test_what_was_not_asked_for_is_given_next_without_the_kernel(pair: Pair) -> None:
    io, data, rows = pair.endpoint.io(row_size=SIZE), noise(50), np.zeros((50, SIZE), np.uint8)
    send_train(pair.sock, data.tobytes(), SIZE, pair.endpoint.address)
    io.wait(2_000_000_000)
    assert io.recv_into(rows[:20])[0] == 20
    with socket.socket(fileno=os.dup(pair.endpoint.fileno())) as same, pytest.raises(BlockingIOError):
        same.recv(1)
    io.wait(60_000_000_000)  # returns at once: what waits is here
    assert io.recv_into(rows[20:])[0] == 30
    assert (rows == data).all()


def test_a_full_ring_of_trains(pair: Pair) -> None:
    """More messages than a call takes, and a small ring that goes round."""
    for batch in (3, 64, 256):
        io, data = pair.endpoint.io(row_size=100, batch=batch), noise(1200, 100, batch)
        for at in range(0, 1200, 12):
            send_train(pair.sock, data[at : at + 12].tobytes(), 100, pair.endpoint.address)
        rows, sizes = drain(io, 1200, size=100)
        assert sizes == [100] * 1200
        assert (rows == data).all()


@pytest.mark.parametrize("size", [1, 100, SIZE - 1, SIZE + 1, 2284])
def test_wrong_sizes_in_trains_are_told_piece_by_piece(pair: Pair, size: int) -> None:
    """Each piece with its own length, the shorter tail too; a right train after them is not touched."""
    io, data = pair.endpoint.io(row_size=SIZE), noise(4)
    n = min(20, 60_000 // size)
    send_train(pair.sock, bytes(n * size - size // 2), size, pair.endpoint.address)
    send_train(pair.sock, data.tobytes(), SIZE, pair.endpoint.address)
    rows, sizes = drain(io, n + 4)
    assert sizes == [size] * (n - 1) + [size - size // 2] + [SIZE] * 4
    assert (rows[n:] == data).all()


@pytest.mark.parametrize("size", [SIZE + 1, SIZE + 50, 2284])
def test_a_frame_behind_longer_datagrams(pair: Pair, size: int) -> None:
    """The kernel joins what comes from one address, also where a stranger has only written that address: the neighbour's frame
    must not be lost with the stranger's."""
    io, frame = pair.endpoint.io(row_size=SIZE), noise(1)
    for longer in (1, 2, 20):
        send_train(pair.sock, bytes(longer * size) + frame.tobytes(), size, pair.endpoint.address)
        rows, sizes = drain(io, longer + 1)
        assert sizes == [size] * longer + [SIZE]
        assert (rows[longer] == frame).all()


def test_a_ring_that_goes_round_and_is_never_empty(pair: Pair) -> None:
    io, rows, data = pair.endpoint.io(row_size=100, batch=5), np.zeros((4, 100), np.uint8), noise(2000, 100)
    taken, size, sent = 0, 100, 0
    while taken < len(data) - 8:
        while sent < min(taken + 8, len(data)):
            send_train(pair.sock, data[sent : sent + 3].tobytes(), size, pair.endpoint.address)
            sent += len(data[sent : sent + 3])
        io.wait(2_000_000_000)
        count, _, _ = io.recv_into(rows)
        assert (rows[:count] == data[taken : taken + count]).all()
        taken += count


def test_a_shorter_tail(pair: Pair) -> None:
    io, data = pair.endpoint.io(row_size=SIZE), noise(5).reshape(-1)[:-7]
    send_train(pair.sock, data.tobytes(), SIZE, pair.endpoint.address)
    rows, sizes = drain(io, 5)
    assert sizes == [SIZE] * 4 + [SIZE - 7]
    assert (rows.reshape(-1)[:-7] == data).all()


def test_long_and_empty_datagrams_between_trains(pair: Pair) -> None:
    io, data, longest = pair.endpoint.io(row_size=SIZE), noise(6), 65507 if pair.host == "127.0.0.1" else 65488
    for _ in range(3):
        pair.sock.sendto(bytes(longest), pair.endpoint.address)
        send_train(pair.sock, data.tobytes(), SIZE, pair.endpoint.address)
        pair.sock.sendto(b"", pair.endpoint.address)
    rows, sizes = drain(io, 24)
    assert sizes == [longest, *[SIZE] * 6, 0] * 3
    assert all((rows[at : at + 6] == data).all() for at in (1, 9, 17))


def test_rows_of_one_destination_leave_as_trains(pair: Pair) -> None:
    """Runs of one address, and no more in a train than fit; the order stays."""
    io, data = pair.endpoint.io(row_size=SIZE), noise(256)
    assert not io.send_from(data, np.full(256, SIZE, np.uint32), pair.targets(256)).any()
    found = pair.messages(data.nbytes)
    assert b"".join(message for message, _ in found) == data.tobytes()
    most = min(max_segments(), 65507 // SIZE)
    assert [len(message) // SIZE for message, _ in found] == [most] * (256 // most) + [256 % most]


def test_trains_are_of_one_address_and_one_size(pair: Pair) -> None:
    io, data = pair.endpoint.io(row_size=SIZE), noise(9)
    sizes = np.array([100, 100, 100, 50, 50, 100, 100, 0, 0], np.uint32)
    other = open_endpoint(pair.host, 0)
    targets = pair.targets(9)
    targets[1] = pack_address(*other.address)
    assert not io.send_from(data, sizes, targets).any()
    assert [(len(message), size) for message, size in pair.messages(500)] == [
        (100, 0), (100, 0), (100, 50), (200, 100)
    ]  # fmt: skip
    assert pair.sock.recv(1) == pair.sock.recv(1) == b""
    other.close()


@dataclass
class Faults:
    """sendmmsg of Linux with errors of our choice: `answer(message number, datagrams in it)` is an errno, or 0 to let it pass."""

    answer: Callable[[int, int], int]
    seen: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.function = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, use_errno=True
        )(self.call)

    def call(self, fd: int, headers: int, n: int, flags: int) -> int:
        """As the kernel does: up to the first message that fails; an error only where that is the first of all."""
        for i in range(n):
            at = headers + 64 * i
            length = ctypes.c_size_t.from_address(at + 24).value
            self.seen.append(length)
            error = self.answer(len(self.seen) - 1, length)
            sent = -1 if error else self.libc.sendmmsg(fd, ctypes.c_void_p(at), 1, flags)
            if sent != 1:
                ctypes.set_errno(error or ctypes.get_errno())
                return i or -1
        return n

    def put_into(self, io: DatagramIo, refused_ns: int = NEVER_NS) -> None:
        """From now on."""
        assert isinstance(io, GsoIo)
        address = ctypes.cast(self.function, ctypes.c_void_p).value
        assert address
        io.send_by(address, refused_ns)


@pytest.mark.parametrize("error", [errno.EMSGSIZE, errno.EINVAL, errno.EIO])
def test_a_destination_that_refuses_trains_gets_datagrams(error: int) -> None:
    """Nothing is lost or sent twice, and the other destinations keep their trains."""
    with (
        open_endpoint("127.0.0.1", 0, backend="gso") as a,
        open_endpoint("127.0.0.1", 0) as b,
        open_endpoint("127.0.0.1", 0) as c,
    ):
        io, data = a.io(row_size=SIZE), noise(40)
        targets = np.array([pack_address(*b.address)] * 20 + [pack_address(*c.address)] * 20, ADDRESS)
        faults = Faults(lambda number, length: error if number == 0 else 0)
        faults.put_into(io)
        for _ in range(2):
            assert not io.send_from(data, np.full(40, SIZE, np.uint32), targets).any()
        assert faults.seen == [20, *[1] * 20, 20, *[1] * 20, 20]
        for end, rows in ((b, data[:20]), (c, data[20:])):
            assert (drain(end.io(row_size=SIZE), 40)[0] == np.concatenate([rows, rows])).all()


def test_a_refusal_is_forgotten_after_a_while(pair: Pair) -> None:
    io, data = pair.endpoint.io(row_size=SIZE), noise(5)
    faults = Faults(lambda number, length: errno.EIO if number == 0 else 0)
    faults.put_into(io, refused_ns=1)
    for _ in range(2):
        assert not io.send_from(data, np.full(5, SIZE, np.uint32), pair.targets(5)).any()
    assert faults.seen == [5, 1, 1, 1, 1, 1, 5]
    assert b"".join(message for message, _ in pair.messages(2 * data.nbytes)) == 2 * data.tobytes()


def test_many_destinations_that_refuse(pair: Pair) -> None:
    """More than are remembered: each of their trains is tried again and nothing is lost."""
    ends = [open_endpoint(pair.host, 0) for _ in range(100)]
    io, data = pair.endpoint.io(row_size=8), noise(200, 8)
    targets = np.array([pack_address(*ends[i // 2].address) for i in range(200)], ADDRESS)
    Faults(lambda number, length: errno.EIO if length > 1 else 0).put_into(io)
    for _ in range(2):
        assert not io.send_from(data, np.full(200, 8, np.uint32), targets).any()
    for i, end in enumerate(ends):
        with end:
            rows, sizes = drain(end.io(row_size=8), 4, size=8)
            assert sizes == [8] * 4
            assert (rows == np.concatenate([data[2 * i : 2 * i + 2]] * 2)).all()


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENETUNREACH, errno.EMSGSIZE, errno.EINVAL])
def test_what_the_kernel_refuses_has_its_own_result(pair: Pair, error: int) -> None:
    """Of a train, too: each of its datagrams is tried by itself."""
    io, data = pair.endpoint.io(row_size=SIZE), noise(12)
    faults = Faults(lambda number, length: error if number in (0, 2, 5) else 0)
    faults.put_into(io)
    assert io.send_from(data, np.full(12, SIZE, np.uint32), pair.targets(12)).tolist() == [
        0, -error, 0, 0, -error, 0, 0, 0, 0, 0, 0, 0
    ]  # fmt: skip
    left = np.delete(data, [1, 4], axis=0)
    assert b"".join(message for message, _ in pair.messages(left.nbytes)) == left.tobytes()


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.ENOBUFS, errno.EINTR])
def test_no_room_is_waited_for(pair: Pair, error: int) -> None:
    """Between messages, too: what has left is not sent again."""
    io, data = pair.endpoint.io(row_size=SIZE), noise(200)
    faults = Faults(lambda number, length: error if number % 2 else 0)
    faults.put_into(io)
    assert not io.send_from(data, np.full(200, SIZE, np.uint32), pair.targets(200)).any()
    assert b"".join(message for message, _ in pair.messages(data.nbytes)) == data.tobytes()


def test_no_room_ends_some_time(pair: Pair) -> None:
    io, data = pair.endpoint.io(row_size=SIZE), noise(200)
    faults = Faults(lambda number, length: errno.EAGAIN if number > 0 else 0)
    faults.put_into(io)
    most = min(max_segments(), 65507 // SIZE)
    results = io.send_from(data, np.full(200, SIZE, np.uint32), pair.targets(200)).tolist()
    assert results == [0] * most + [-errno.EAGAIN] * (200 - most)
    assert b"".join(message for message, _ in pair.messages(most * SIZE)) == data[:most].tobytes()


def test_a_kernel_that_refuses_trains_of_a_socket(pair: Pair) -> None:
    """A real refusal: a socket without checksums can send none of them (EINVAL)."""
    option = (SOL_UDP, UDP_NO_CHECK6_TX) if pair.host == "::1" else (socket.SOL_SOCKET, SO_NO_CHECK)
    with socket.socket(fileno=os.dup(pair.endpoint.fileno())) as same:
        same.setsockopt(*option, 1)
    io, data = pair.endpoint.io(row_size=SIZE), noise(30)
    if pair.host == "::1":
        pair.sock.setsockopt(SOL_UDP, UDP_NO_CHECK6_RX, 1)
    assert not io.send_from(data, np.full(30, SIZE, np.uint32), pair.targets(30)).any()
    assert pair.messages(data.nbytes) == [(row.tobytes(), 0) for row in data]


def test_a_later_backend_of_the_same_socket_gets_no_trains(pair: Pair) -> None:
    pair.endpoint.io(row_size=SIZE)
    data = noise(10)
    for backend in ("mmsg", "socket"):
        pair.endpoint.backend = backend
        io = pair.endpoint.io(row_size=SIZE)
        send_train(pair.sock, data.tobytes(), SIZE, pair.endpoint.address)
        rows, sizes = drain(io, 10)
        assert sizes == [SIZE] * 10
        assert (rows == data).all()
