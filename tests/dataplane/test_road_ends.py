"""How a data plane's threads end, and what they need until then."""

import functools
import gc
import os
import resource
import signal
import socket
import time
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from road_rig import Rig

from fastmix.dataplane.plane import DataPlane
from fastmix.process.data import finish
from fastmix.udp._rings import MemoryIo
from fastmix.udp._socket import SocketIo


class Ring(MemoryIo):
    """One whose end can be seen."""


def ended(child: int) -> int:
    """The exit code of a forked child; -SIGALRM where it hung."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_rings_live_as_long_as_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data plane that is given up without a stop, as after an error, ends its threads before it frees what they write to."""
    monkeypatch.setattr("fastmix.testing.MemoryIo", Ring)
    rig = Rig(options={"workers": 3})
    rings = [weakref.ref(ring) for ring in rig.node.ios]
    plane, road = rig.node.plane, rig.node.plane.road
    plane.start()
    rig.node.ios, rig.node.io, plane.ios = [], None, ()
    del rig, plane
    gc.collect()
    assert all(ring() for ring in rings)
    road.stop()
    del road
    gc.collect()
    assert not any(ring() for ring in rings)


def test_threads_that_cannot_be_had() -> None:
    """Those that run already may wait for the GIL: they end all the same. There is room for the stacks of three threads, and
    the C library keeps those of up to five that have ended."""
    rig = Rig(options={"workers": 16})
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    rig.node.ios = [SocketIo(sock, rig.plan.network.geometry.frame_size) for sock in socks]
    rig.node.take_over()
    child = os.fork()
    if not child:
        signal.alarm(10)
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (28 << 20), used + (28 << 20)))
        try:
            rig.node.plane.start()
        except OSError:
            os._exit(0)
        finally:
            os._exit(1)
    assert ended(child) == 0
    for sock in socks:
        sock.close()


def test_a_full_pool_without_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nap = "0s"` is for those who give CPUs away; beside a full pool there is nothing to spin for."""
    monkeypatch.setattr("fastmix.testing.DataPlane", functools.partial(DataPlane, nap_ns=0))
    rig = Rig(options={"pool_slots": 64})
    rig.push(*rig.frames(80))
    while rig.node.plane.road.receive(rig.now_ns):
        continue
    rig.node.plane.mix(0)
    assert rig.node.metrics().pooled == 56
    began, busy = time.monotonic(), time.thread_time()
    rig.node.plane.road.run(time.monotonic_ns() + 100_000_000)
    assert time.monotonic() - began > 0.1
    assert time.thread_time() - busy < 0.05


def test_a_socket_that_fails_at_the_end() -> None:
    """The node has drained all the same."""

    def receive(_now_ns: int) -> int:
        raise OSError("receive")

    plane: Any = SimpleNamespace(road=SimpleNamespace(receive=receive), publish=lambda: None, kernel_drop_events=0)
    setup: Any = SimpleNamespace(endpoint=SimpleNamespace(kernel_drop_events=lambda: 7), page={"process": {"drained": 0}})
    finish(plane, setup)
    assert (setup.page["process"]["drained"], plane.kernel_drop_events) == (1, 7)
