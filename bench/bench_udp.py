"""Datagrams in and out over loopback, without any cryptography: each backend at 1, 20 and 100 next hops. See README.md.

One thread sends a batch, grouped by next hop as the mixer leaves it, out of scattered rows, then receives it; the thread's CPU
clock runs around each half. On loopback the sender pays for the receiver's stack, too, so that the sum is what one packet in and
one out cost. In turns with it, the yardstick: one datagram sent and received by Python, connected, one in flight.
"""

import ctypes
import os
import random
import socket
from time import thread_time_ns

import numpy as np
import pytest
from conftest import LINES
from measure import BATCH
from pytest_benchmark.fixture import BenchmarkFixture

from fastmix.packet.geometry import WAN
from fastmix.udp.address import pack_address
from fastmix.udp.endpoint import UdpEndpoint, open_endpoint

ROUNDS = 200
SIZE, STRIDE, SLOTS = WAN.frame_size, WAN.row_stride, 4096


class Received(ctypes.Structure):
    """`struct fm_received` of ext/include/fm_io.h."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_uint32), ("sender", ctypes.c_void_p))


class Outgoing(ctypes.Structure):
    """`struct fm_outgoing`; `to` are the bytes of an ADDRESS."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_uint32), ("result", ctypes.c_int32), ("to", ctypes.c_uint8 * 32))


class Io(ctypes.Structure):
    """`struct fm_io`: what the road calls, called as it does."""

    _fields_ = (
        ("context", ctypes.c_void_p),
        ("recv", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Received), ctypes.c_uint32)),
        ("wait", ctypes.c_void_p),
        ("send", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Outgoing), ctypes.c_uint32)),
    )


class There:
    """A batch to some next hops, all of which are one socket under many addresses of loopback, and back."""

    def __init__(self, sender: str, receiver: str, hops: int) -> None:
        self.ends = open_endpoint("0.0.0.0", 0, backend=sender), open_endpoint("0.0.0.0", 0, backend=receiver)
        self.ios = [end.io(row_size=SIZE) for end in self.ends]
        self.rows, self.out, self.came = np.zeros((SLOTS, STRIDE), np.uint8), (Outgoing * BATCH)(), (Received * BATCH)()
        chance = random.Random(hops)
        drawn = sorted(chance.randrange(hops) for _ in range(BATCH))
        for out, hop, slot in zip(self.out, drawn, chance.sample(range(SLOTS), BATCH), strict=True):
            address = pack_address(f"127.0.1.{hop + 1}", self.ends[1].address[1]).tobytes()
            out.data, out.size, out.to = self.rows[slot].ctypes.data, SIZE, (ctypes.c_uint8 * 32)(*address)

    def go(self) -> tuple[int, int]:
        """One batch: ns to send it, ns to receive it."""
        sender, receiver = (Io.from_address(io.address) for io in self.ios)
        started = thread_time_ns()
        sent = sender.send(sender.context, self.out, BATCH)
        between, came = thread_time_ns(), 0
        while came < sent and (n := receiver.recv(receiver.context, self.came, BATCH)) > 0:
            came += n
        ended = thread_time_ns()
        assert came == sent == BATCH
        return between - started, ended - between

    def close(self) -> None:
        """Closes its sockets."""
        for end in self.ends:
            end.close()


class Yardstick:
    """One datagram at a time."""

    def __init__(self) -> None:
        self.to, self.data, self.row = open_endpoint("127.0.0.1", 0), bytes(SIZE), bytearray(SIZE)
        self.sock, self.same = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), dup(self.to)
        self.sock.connect(self.to.address)

    def go(self) -> int:
        """ns of 64."""
        started = thread_time_ns()
        for _ in range(64):
            self.sock.send(self.data)
            self.same.recv_into(self.row)
        return thread_time_ns() - started

    def close(self) -> None:
        """Closes its sockets."""
        for sock in (self.sock, self.same, self.to):
            sock.close()


def dup(endpoint: UdpEndpoint) -> socket.socket:
    """The same socket as one of Python's."""
    return socket.socket(fileno=os.dup(endpoint.fileno()))


@pytest.mark.parametrize("hops", [1, 20, 100])
@pytest.mark.parametrize(("sender", "receiver"), [("gso", "gso"), ("mmsg", "mmsg"), ("mmsg", "gso"), ("socket", "socket")])
def bench_udp(benchmark: BenchmarkFixture, sender: str, receiver: str, hops: int) -> None:
    """ns a packet out, in, and both; the lower tenth of the rounds, which other work has not disturbed."""
    there, yardstick = There(sender, receiver, hops), Yardstick()
    rounds = [(*there.go(), yardstick.go()) for _ in range(ROUNDS)]
    out_ns, in_ns, both_ns = (
        float(np.percentile(each, 10)) / BATCH for each in zip(*((o, i, o + i) for o, i, _ in rounds), strict=True)
    )
    yardstick_ns = float(np.percentile([one for *_, one in rounds], 10)) / 64
    benchmark.extra_info.update(
        stage="udp", out_ns=out_ns, in_ns=in_ns, both_ns=both_ns, yardstick_ns=yardstick_ns, ratio=both_ns / yardstick_ns
    )
    benchmark.pedantic(there.go, rounds=ROUNDS)
    there.close()
    yardstick.close()
    names = sender if sender == receiver else f"{sender} to {receiver}"
    LINES.append(
        f"udp {names}, {hops} next hops: {both_ns:.0f} ns a packet ({out_ns:.0f} out, {in_ns:.0f} in), "
        f"{both_ns / yardstick_ns:.2f} of one at a time ({yardstick_ns:.0f} ns)"
    )
