"""What a datagram costs to send and to receive over loopback, with each way to move datagrams that a node could use."""

import time

import numpy as np

from fastmix.packet.geometry import WAN
from fastmix.udp.address import ADDRESS, pack_address
from fastmix.udp.backends import BACKENDS, has_backend
from fastmix.udp.endpoint import open_endpoint

DATAGRAMS = 128
"""Of one round; they fit into the smallest receive buffer that a kernel gives."""
ROUNDS = 40
WAIT_NS = 10_000_000


def loopback_ns() -> dict[str, int]:
    """ns of CPU time for one datagram in and out, by backend: those of `fastmix.udp.backends` that work here, in their order.

    `NetworkFailure` where this machine has no IPv4 loopback.
    """
    return {name: _measure(name) for name in BACKENDS if has_backend(name)}


def _measure(backend: str) -> int:
    rows = np.zeros((DATAGRAMS, WAN.frame_size), np.uint8)
    sizes = np.full(DATAGRAMS, WAN.frame_size, np.uint32)
    took = []
    with open_endpoint("127.0.0.1", 0, backend=backend) as a, open_endpoint("127.0.0.1", 0, backend=backend) as b:
        sender, receiver = a.io(row_size=WAN.frame_size), b.io(row_size=WAN.frame_size)
        addresses = np.array([pack_address(*b.address)] * DATAGRAMS, ADDRESS)
        for _ in range(ROUNDS):
            start_ns = time.thread_time_ns()
            n = sum(not result for result in sender.send_from(rows, sizes, addresses).tolist())
            while n > 0:
                receiver.wait(WAIT_NS)
                came = receiver.recv_into(rows)[0]
                n -= came or n  # what does not come is lost
            took.append(time.thread_time_ns() - start_ns)
    return round(min(took) / DATAGRAMS)
