"""Which backend is chosen, and one socket for each worker."""

import resource

import numpy as np
import pytest

from fastmix.errors import ConfigError, NetworkFailure
from fastmix.udp import _gso, _mmsg, backends
from fastmix.udp.address import ADDRESS, pack_address
from fastmix.udp.backends import BACKENDS, choose_backend
from fastmix.udp.endpoint import open_endpoint

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
def test_workers_share_a_port(host: str, backend: str) -> None:
    """Each sender's datagrams come to one of them, in order; senders spread over all."""
    with open_endpoint(host, 0, workers=3, backend=backend) as node:
        assert node.workers == 3
        assert len({node.fileno(worker) for worker in range(3)}) == 3
        ios = [node.io(row_size=8, worker=worker) for worker in range(3)]
        target = np.array([pack_address(*node.address)] * 4, ADDRESS)
        for number in range(60):
            with open_endpoint(host, 0) as sender:
                rows = np.array([[number, i, 0, 0, 0, 0, 0, 0] for i in range(4)], np.uint8)
                assert not sender.io().send_from(rows, np.full(4, 8, np.uint32), target).any()
        came = []
        for io in ios:
            rows = np.zeros((256, 8), np.uint8)
            count = io.recv_into(rows)[0]
            assert count > 0
            came.append(rows[:count, :2].tolist())
        assert sum(map(len, came)) == 240
        for each in came:
            assert all(each.count([number, 0]) == each.count([number, 3]) for number in range(60))
            assert [i for _, i in each] == [0, 1, 2, 3] * (len(each) // 4)


def test_drops_of_all_workers_are_summed() -> None:
    with open_endpoint("127.0.0.1", 0, workers=2, receive_buffer=20_000) as node:
        sizes, rows = np.full(50, 1232, np.uint32), np.zeros((50, 1232), np.uint8)
        for _ in range(40):
            with open_endpoint("127.0.0.1", 0) as sender:
                assert not sender.io().send_from(rows, sizes, np.array([pack_address(*node.address)] * 50, ADDRESS)).any()
        took = [0, 0]
        for worker in (0, 1):
            io, taken = node.io(worker=worker), np.zeros((256, 1232), np.uint8)
            while count := io.recv_into(taken)[0]:
                took[worker] += count
        assert min(took) > 0
        assert sum(took) + node.kernel_drops() == 2000


def test_a_port_in_use_is_refused_for_workers_too() -> None:
    with open_endpoint("127.0.0.1", 0, workers=2) as node, pytest.raises(NetworkFailure, match="the port is in use"):
        open_endpoint(*node.address, workers=2)
