"""What every backend does alike over loopback: lengths, addresses, batches and errors."""

import errno
import socket
import threading
import time

import numpy as np
import pytest

from fastmix.udp._datagram_io import DatagramIo
from fastmix.udp.address import ADDRESS, address_pair, pack_address
from fastmix.udp.backends import BACKENDS
from fastmix.udp.endpoint import UdpEndpoint, open_endpoint

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
PATIENCE_NS = 2_000_000_000


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """All of them: this machine must have them."""
    return str(request.param)


def to(endpoint: UdpEndpoint, n: int) -> np.ndarray:
    return np.array([pack_address(*endpoint.address)] * n, ADDRESS)


def receive_all(io: DatagramIo, n: int, size: int, at_once: int = 256) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n datagrams: rows, true sizes and senders; fails rather than waits for ever."""
    rows, sizes, senders = np.zeros((n, size), np.uint8), [], []
    while len(sizes) < n:
        io.wait(PATIENCE_NS)
        count, some, addresses = io.recv_into(rows[len(sizes) : len(sizes) + at_once])
        assert count, f"{len(sizes)} of {n} datagrams came"
        sizes.extend(some.tolist())
        senders.extend(addresses)
    return rows, np.array(sizes), np.array(senders, ADDRESS)


@HOSTS
def test_true_lengths(host: str, backend: str) -> None:
    """Also of what is longer than a row; of that the row holds the beginning."""
    longest = 65507 if host == "127.0.0.1" else 65488  # loopback takes 65,536 with all headers
    lengths = [0, 1, 1199, 1231, 1232, 1233, 2284, longest]
    data = np.random.default_rng(1).integers(0, 256, (len(lengths), longest), np.uint8)
    with open_endpoint(host, 0, backend=backend) as a, open_endpoint(host, 0, backend=backend) as b:
        results = a.io().send_from(data, np.array(lengths, np.uint32), to(b, len(lengths)))
        assert not results.any()
        rows, sizes, senders = receive_all(b.io(row_size=1232), len(lengths), 1232)
        assert sizes.tolist() == lengths
        assert [address_pair(sender) for sender in senders] == [a.address] * len(lengths)
        for row, sent, length in zip(rows, data, lengths, strict=True):
            whole = min(length, 1232)
            assert (row[:whole] == sent[:whole]).all()
            assert not row[whole:].any()


@HOSTS
@pytest.mark.parametrize(("n", "batch"), [(1, 1), (2, 256), (32, 32), (100, 7), (255, 64), (256, 256), (300, 256)])
def test_batches_keep_order(host: str, n: int, batch: int, backend: str) -> None:
    data = np.random.default_rng(n).integers(0, 256, (n, 100), np.uint8)
    with open_endpoint(host, 0, backend=backend) as a, open_endpoint(host, 0, backend=backend) as b:
        assert not a.io(batch=batch).send_from(data, np.full(n, 100, np.uint32), to(b, n)).any()
        rows, _, _ = receive_all(b.io(batch=batch, row_size=100), n, 100)
        assert (rows == data).all()


def test_a_batch_is_the_most_that_comes_at_once(backend: str) -> None:
    with open_endpoint("127.0.0.1", 0, backend=backend) as a, open_endpoint("127.0.0.1", 0, backend=backend) as b:
        a.io().send_from(np.zeros((20, 10), np.uint8), np.full(20, 10, np.uint32), to(b, 20))
        io, rows = b.io(batch=8), np.zeros((256, 10), np.uint8)
        io.wait(PATIENCE_NS)
        assert [io.recv_into(rows)[0] for _ in range(4)] == [8, 8, 4, 0]
        assert io.recv_into(rows[:0])[0] == 0


def test_many_senders_are_told_apart(backend: str) -> None:
    with open_endpoint("127.0.0.1", 0, backend=backend) as hub:
        senders = [open_endpoint("127.0.0.1", 0, backend=backend) for _ in range(10)]
        for number, sender in enumerate(senders):
            sender.io().send_from(np.full((1, 1), number, np.uint8), np.ones(1, np.uint32), to(hub, 1))
        rows, _, addresses = receive_all(hub.io(), 10, 1)
        assert [address_pair(address) for address in addresses] == [senders[row[0]].address for row in rows]
        hub.io().send_from(rows, np.ones(10, np.uint32), addresses)
        for number, sender in enumerate(senders):
            assert receive_all(sender.io(), 1, 1)[0].tolist() == [[number]]
            sender.close()


def test_one_failure_does_not_stop_the_others(backend: str) -> None:
    """Each datagram has its own result: no address, another family, too long, a port nobody has (not an error of UDP's)."""
    with (
        open_endpoint("127.0.0.1", 0, backend=backend) as a,
        open_endpoint("127.0.0.1", 0, backend=backend) as b,
        open_endpoint("::1", 0, backend=backend) as six,
    ):
        nobody = open_endpoint("127.0.0.1", 0, backend=backend)
        addresses = np.concatenate(
            [to(b, 1), np.zeros(1, ADDRESS), to(b, 1), to(six, 1), to(nobody, 1), to(b, 2), np.zeros(1, ADDRESS)]
        )
        nobody.close()
        sizes = np.array([10, 10, 11, 10, 10, 65508, 12, 10], np.uint32)
        results = a.io().send_from(np.zeros((8, 65508), np.uint8), sizes, addresses)
        assert [-int(result) for result in results] == [
            0,
            errno.EDESTADDRREQ,
            0,
            errno.EAFNOSUPPORT,
            0,
            errno.EMSGSIZE,
            0,
            errno.EDESTADDRREQ,
        ]
        assert receive_all(b.io(), 3, 20)[1].tolist() == [10, 11, 12]


def test_refusals_of_a_connected_socket_do_not_stop_it(backend: str) -> None:
    """ICMP says that nobody listens: a send may report it, receiving goes on."""
    nobody = open_endpoint("127.0.0.1", 0, backend=backend)
    address = nobody.address
    nobody.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        io, rows = UdpEndpoint(sock, backend=backend).io(row_size=8), np.zeros((4, 8), np.uint8)
        for _ in range(3):
            results = io.send_from(rows, np.full(4, 8, np.uint32), np.zeros(4, ADDRESS))
            assert set(results.tolist()) <= {0, -errno.ECONNREFUSED}
            assert io.recv_into(rows)[0] == 0
        with open_endpoint(*address, backend=backend) as somebody:
            assert not io.send_from(rows, np.full(4, 8, np.uint32), np.zeros(4, ADDRESS)).any()
            assert receive_all(somebody.io(), 4, 8)[1].tolist() == [8] * 4


@pytest.mark.parametrize("backend", ["mmsg", "socket"])
def test_a_full_send_buffer_is_waited_for_and_then_said(backend: str) -> None:
    """A datagram that no buffer of this size ever takes: EAGAIN or EMSGSIZE soon, not a loop for ever."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        io, rows = UdpEndpoint(left, backend=backend).io(row_size=8192), np.zeros((256, 8192), np.uint8)
        begun = time.monotonic()
        results = np.concatenate([io.send_from(rows, np.full(256, 8192, np.uint32), np.zeros(256, ADDRESS)) for _ in range(2)])
        assert set(results.tolist()) == {0, -errno.EAGAIN}
        assert time.monotonic() - begun < 5
        taken = int((results == 0).sum())
        assert [len(right.recv(8192)) for _ in range(taken)] == [8192] * taken


def test_wait_ends_by_time_and_by_datagram(backend: str) -> None:
    with open_endpoint("127.0.0.1", 0, backend=backend) as a, open_endpoint("127.0.0.1", 0, backend=backend) as b:
        io = b.io()
        begun = time.monotonic_ns()
        io.wait(3_000_000)
        assert time.monotonic_ns() - begun >= 3_000_000
        io.wait(0)
        io.wait(-1)
        waiter = threading.Thread(target=io.wait, args=(30_000_000_000,))
        waiter.start()
        a.io().send_from(np.zeros((1, 1), np.uint8), np.ones(1, np.uint32), to(b, 1))
        waiter.join(10)
        assert not waiter.is_alive(), "it waits without the GIL and ends when a datagram comes"


def test_an_unusable_socket_is_an_error(backend: str) -> None:
    endpoint = open_endpoint("127.0.0.1", 0, backend=backend)
    io = endpoint.io()
    endpoint.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        io.recv_into(np.zeros((1, 1), np.uint8))
    assert io.send_from(np.zeros((1, 1), np.uint8), np.ones(1, np.uint32), np.zeros(1, ADDRESS)).tolist() == [-errno.EBADF]


def test_wrong_shapes_are_named(backend: str) -> None:
    with open_endpoint("127.0.0.1", 0, backend=backend) as a:
        io, rows = a.io(), np.zeros((2, 10), np.uint8)
        with pytest.raises(ValueError, match="rows are 2"):
            io.send_from(rows, np.zeros(1, np.uint32), to(a, 2))
        with pytest.raises(ValueError, match="rows are 2"):
            io.send_from(rows, np.zeros(2, np.uint32), to(a, 1))
        with pytest.raises(ValueError, match="size of 11"):
            io.send_from(rows, np.full(2, 11, np.uint32), to(a, 2))
        for batch in (0, 257):
            with pytest.raises(ValueError, match=f"batch is {batch}"):
                a.io(batch=batch)
