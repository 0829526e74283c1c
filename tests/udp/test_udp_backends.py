"""Which backend is chosen, and one socket for each worker."""

import errno
import resource

import numpy as np
import pytest

from fastmix.errors import ConfigError, NetworkFailure
from fastmix.udp import _gso, _mmsg, backends
from fastmix.udp._datagram_io import DatagramIo
from fastmix.udp._socket import SocketIo
from fastmix.udp.address import ADDRESS, pack_address
from fastmix.udp.backends import BACKENDS, choose_backend
from fastmix.udp.endpoint import open_endpoint, workers_of

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


def test_the_fastest_that_works() -> None:
    assert _mmsg.probe()
    assert _gso.probe() in (64, 128)
    assert choose_backend("auto") == "gso"
    assert [choose_backend(name) for name in BACKENDS] == list(BACKENDS)


def test_a_probe_that_cannot_try_finds_nothing() -> None:
    """Here because no socket can be made."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    found = _gso.probe()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == 0


def test_what_is_not_there_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "max_segments", lambda: 0)
    assert choose_backend("auto") == "mmsg"
    with pytest.raises(ConfigError, match=r'io = "gso": this kernel .*: use io = "auto"'):
        choose_backend("gso")
    monkeypatch.setattr(_mmsg, "probe", lambda: False)
    assert choose_backend("auto") == "socket"
    with pytest.raises(ConfigError, match=r'io = "mmsg": this kernel has no recvmmsg: use io = "auto"'):
        open_endpoint("127.0.0.1", 0, backend="mmsg")


@HOSTS
@pytest.mark.parametrize("backend", BACKENDS)
def test_workers_share_what_one_neighbour_sends(host: str, backend: str) -> None:
    """By the random bytes of each frame; what has none goes to the first. Nothing comes twice, and each keeps the order."""
    n = 600
    with open_endpoint(host, 0, workers=3, backend=backend) as node, open_endpoint(host, 0) as sender:
        assert (node.workers, len({node.fileno(worker) for worker in range(3)})) == (3, 3)
        rows = np.random.default_rng(5).integers(0, 256, (n, 8), np.uint8)
        rows[:, :2] = np.arange(n, dtype=np.uint16).view(np.uint8).reshape(n, 2)
        sizes = np.full(n, 8, np.uint32)
        sizes[:60] = 7
        assert not sender.io().send_from(rows, sizes, np.array([pack_address(*node.address)] * n, ADDRESS)).any()
        came = [numbers_of(node.io(row_size=8, worker=worker)) for worker in range(3)]
        assert sorted(number for numbers in came for number in numbers) == list(range(n))
        assert set(came[0]) >= set(range(60))
        assert all(140 < len(set(numbers) - set(range(60))) < 220 for numbers in came)
        assert all(numbers == sorted(numbers) for numbers in came)
        told = workers_of(rows[60:], 3)
        assert [(np.flatnonzero(told == worker) + 60).tolist() for worker in range(3)] == [
            [number for number in numbers if number >= 60] for numbers in came
        ]


def numbers_of(io: DatagramIo) -> list[int]:
    """The first two bytes of all that waits."""
    rows, numbers = np.zeros((256, 8), np.uint8), []
    while count := io.recv_into(rows)[0]:
        numbers += rows[:count, :2].copy().view(np.uint16)[:, 0].tolist()
    return numbers


def test_drops_of_all_workers_are_summed() -> None:
    with open_endpoint("127.0.0.1", 0, workers=2, receive_buffer=20_000) as node:
        sizes, rows = np.full(50, 1232, np.uint32), np.zeros((50, 1232), np.uint8)
        rows[::2, 7] = 1
        with open_endpoint("127.0.0.1", 0) as sender:
            for _ in range(40):
                assert not sender.io().send_from(rows, sizes, np.array([pack_address(*node.address)] * 50, ADDRESS)).any()
        took = [0, 0]
        for worker in (0, 1):
            io, taken = node.io(worker=worker), np.zeros((256, 1232), np.uint8)
            while count := io.recv_into(taken)[0]:
                took[worker] += count
        assert min(took) > 0
        assert sum(took) + node.kernel_drop_events() == 2000


def test_a_port_in_use_is_refused_for_workers_too() -> None:
    with open_endpoint("127.0.0.1", 0, workers=2) as node, pytest.raises(NetworkFailure, match="the port is in use"):
        open_endpoint(*node.address, workers=2)


class Failing:
    """A socket that has a datagram, then none, then is broken."""

    def __init__(self) -> None:
        self.answers = [5, OSError(errno.ENOMEM, "no memory"), 6, BlockingIOError(), OSError(errno.ENOMEM, "no memory")]

    def setsockopt(self, *_: object) -> None:
        """Takes all options."""

    def recvfrom_into(self, *_: object) -> tuple[int, tuple[str, int]]:
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer, ("10.0.0.1", 1)


def test_a_socket_that_fails_behind_a_datagram() -> None:
    """What was taken is given; the error is told when nothing was."""
    io, rows = SocketIo(Failing(), 32), np.zeros((4, 32), np.uint8)
    for size in (5, 6):
        count, sizes, _ = io.recv_into(rows)
        assert (count, sizes.tolist()) == (1, [size])
    with pytest.raises(OSError, match="memory"):
        io.recv_into(rows)
