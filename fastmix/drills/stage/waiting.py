"""What is on its way to a process that is not this one: the kernel tells of every bound UDP socket, and of its own queues."""

import socket
from contextlib import ExitStack
from pathlib import Path

from fastmix.udp.endpoint import meminfo

SOCKETS, QUEUES = Path("/proc/net/udp"), Path("/proc/net/softnet_stat")
BACKLOG_AT = 11
"""Datagrams that a core has taken over from senders and not yet put into sockets; older kernels (before 5.10) do not tell."""
SK_MEMINFO_RMEM_ALLOC = 0
PATIENCE_S = 20.0
"""So long a datagram may be on its way, on a machine that is very busy."""


def waiting_at(address: tuple[str, int], size: int) -> int:
    """How many datagrams of so many bytes wait, at most, in front of all sockets bound to an IPv4 address, or in them. Looked at
    in that order: what comes from the one to the other meanwhile counts twice."""
    return backlog() + -(-waiting_bytes(address) // bytes_of_one(size))


def backlog() -> int:
    """Datagrams in the queues of all cores, whomever they are for."""
    rows = (line.split() for line in QUEUES.read_text().splitlines())
    return sum(int(row[BACKLOG_AT], 16) for row in rows if len(row) > BACKLOG_AT)


def waiting_bytes(address: tuple[str, int]) -> int:
    """What the datagrams take that wait in all sockets bound to an IPv4 address, as the kernel counts against their buffers."""
    host, port = address
    local = f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"
    rows = (line.split() for line in SOCKETS.read_text().splitlines()[1:])
    return sum(int(row[4].partition(":")[2], 16) for row in rows if row[1] == local)


def bytes_of_one(size: int) -> int:
    """What the kernel counts for one waiting datagram of so many bytes, sent alone over loopback as those of a drill are."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2))
        other.bind(("127.0.0.1", 0))
        one.sendto(bytes(size), other.getsockname())
        other.settimeout(PATIENCE_S)
        other.recv(1, socket.MSG_PEEK)
        return meminfo(other)[SK_MEMINFO_RMEM_ALLOC]
