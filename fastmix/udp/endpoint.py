"""Bound UDP sockets with the options that a mix network needs, and what the kernel says about them.

The parent process opens endpoints and hands their descriptors on; data planes and clients adopt them with
`UdpEndpoint.from_fd`, then receive and send through `UdpEndpoint.io`.
"""

import ctypes
import errno
import os
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from fastmix.errors import NetworkFailure
from fastmix.files.addresses import format_address
from fastmix.packet.geometry import FRAME_COUNTER_AT, GEOMETRIES
from fastmix.udp._datagram_io import DatagramIo
from fastmix.udp._gso import GsoIo
from fastmix.udp._mmsg import MmsgIo
from fastmix.udp._socket import SocketIo
from fastmix.udp.backends import choose_backend, max_segments

# Linux's numbers, where the socket module has no name.
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
SO_ATTACH_REUSEPORT_CBPF = 51
BPF_LOAD_WORD, BPF_MODULO, BPF_RETURN = 0x20, 0x94, 0x16
SO_MEMINFO = 55
SK_MEMINFO_DROPS = 8
SK_MEMINFO_VARS = 9
IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23
PMTUDISC_PROBE = 3
"""Never fragment, and believe nobody about the path: one forged "fragmentation needed" could else stop a link for ten minutes."""

ROW_SIZE = max(geometry.frame_size for geometry in GEOMETRIES.values())
"""Bytes that are kept of a received datagram, where nobody says how many."""
RECEIVE_BUFFER = 8 << 20
"""Bytes; the kernel counts about 2.3 KB of it, doubled, for a packet of 1.2 KB: 70 ms at 100,000 packets a second."""
SEND_BUFFER = 4 << 20
"""Bytes."""

REMEDIES = {
    errno.EADDRINUSE: "the port is in use: stop the process that holds it (`ss -ulpn` names it) or choose another port",
    errno.EADDRNOTAVAIL: "no interface of this machine has this address: use one of its own, or 0.0.0.0 or [::] for all",
    errno.EACCES: "the port needs a privilege: choose one from 1024 on, or grant CAP_NET_BIND_SERVICE",
    errno.EAFNOSUPPORT: "this machine does not speak that version of IP: use an address of the other one",
}


class UdpEndpoint:
    """UDP sockets bound to one address, one for each worker. Closes them with `close` or at the end of `with`."""

    def __init__(self, *socks: socket.socket, receive_buffer: int | None = None, backend: str = "mmsg") -> None:
        self.backend = backend
        self._sockets = socks
        self._socket = socks[0]
        self._receive_buffer = receive_buffer

    @classmethod
    def from_fd(cls, fd: int, receive_buffer: int | None = None) -> Self:
        """Adopts the descriptor of a bound UDP socket that was inherited; `NetworkFailure` if it is none."""
        try:
            sock = socket.socket(fileno=fd)
        except OSError as error:
            raise NetworkFailure(f"descriptor {fd} is not a socket: {error.strerror}") from None
        if sock.type != socket.SOCK_DGRAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
            sock.detach()
            raise NetworkFailure(f"descriptor {fd} is a socket, but not one of UDP")
        return cls(sock, receive_buffer=receive_buffer)

    def fileno(self, worker: int = 0) -> int:
        """The descriptor of that worker's socket, still owned by this object."""
        return self._sockets[worker].fileno()

    @property
    def workers(self) -> int:
        """How many sockets there are."""
        return len(self._sockets)

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) it is bound to."""
        host, port, *_ = self._socket.getsockname()
        return host, port

    @property
    def receive_buffer_size(self) -> int:
        """Bytes the kernel granted each socket, in the unit of the request (the kernel's own figure is twice that)."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2

    @property
    def receive_buffer_warning(self) -> str | None:
        """A sentence with the remedy, if the kernel granted less than was asked for; else None."""
        granted, asked = self.receive_buffer_size, self._receive_buffer
        if asked is None or granted >= asked:
            return None
        return (
            f"UDP {format_address(self.address)} has a receive buffer of {granted} bytes, not {asked}: "
            f"bursts may be lost; set `sysctl net.core.rmem_max={asked}` or grant CAP_NET_ADMIN"
        )

    def kernel_drop_events(self) -> int:
        """What the kernel dropped at these sockets so far, each modulo 2^32: a full receive buffer or a wrong checksum.

        Datagrams, but with the backend `gso` a train that is lost counts as one.
        """
        return sum(meminfo(sock)[SK_MEMINFO_DROPS] for sock in self._sockets)

    def io(self, *, row_size: int = ROW_SIZE, batch: int = 256, worker: int = 0) -> DatagramIo:
        """Receiving and sending over one worker's socket, at most batch datagrams a call; usable until the endpoint is closed.

        At most row_size bytes of a received datagram are kept. With the backend `gso` it must be the size of the datagrams that
        are to come: other sizes that come as trains are told, but not their bytes.
        """
        if self.backend == "gso":
            return GsoIo(self.fileno(worker), row_size, batch, self, max_segments=max_segments())
        if self.backend == "socket":
            return SocketIo(self._sockets[worker], row_size, batch, self)
        return MmsgIo(self.fileno(worker), row_size, batch, self)

    def close(self) -> None:
        """Closes the sockets."""
        for sock in self._sockets:
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def meminfo(sock: socket.socket) -> tuple[int, ...]:
    """The kernel's memory and drop counters of a socket (SO_MEMINFO)."""
    raw = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * SK_MEMINFO_VARS)
    return struct.unpack(f"={len(raw) // 4}I", raw)


def open_endpoint(
    host: str, port: int, *, workers: int = 1, backend: str = "mmsg", receive_buffer: int = RECEIVE_BUFFER,
    send_buffer: int = SEND_BUFFER,
) -> UdpEndpoint:  # fmt: skip
    """Binds as many UDP sockets as workers to one IPv4 or IPv6 address; port 0 lets the kernel choose.

    The kernel spreads what comes over them evenly, also if one neighbour sends it all; a train stays together. The sockets do
    not fragment, nor listen to strangers about the path's MTU. Buffers are in bytes, of each socket; see
    `receive_buffer_warning`. Raises `NetworkFailure` with address and remedy if one cannot be bound, so also where the port is in
    use, and `ConfigError` for a backend (`fastmix.udp.backends`) that this machine has not.
    """
    backend = choose_backend(backend)
    socks: list[socket.socket] = []
    try:
        for _ in range(workers):
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            socks.append(sock)
            prepare(sock, receive_buffer, send_buffer)
            bind(sock, host, port, first=socks[0])
    except OSError as error:
        for sock in socks:
            sock.close()
        raise bind_failure(host, port, error) from None
    if workers > 1:
        spread(socks[0], workers)
    return UdpEndpoint(*socks, receive_buffer=receive_buffer, backend=backend)


def bind(sock: socket.socket, host: str, port: int, *, first: socket.socket) -> None:
    """The first socket is bound without SO_REUSEPORT, with which it would share a used port in silence; it gets the option then,
    so that the others may share its port."""
    if sock is first:
        sock.bind((host, port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock is not first:
        sock.bind(first.getsockname())


def spread(sock: socket.socket, n: int) -> None:
    """Spreads datagrams over the n sockets that share a port with this one, by a word that is random in a link frame: its masked
    counter. What is shorter goes to the first. Where the kernel refuses, it spreads senders, not datagrams."""
    instructions = ((BPF_LOAD_WORD, FRAME_COUNTER_AT), (BPF_MODULO, n), (BPF_RETURN, 0))
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", code, 0, 0, value) for code, value in instructions))
    with suppress(OSError):
        sock.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, struct.pack("@HP", len(instructions), ctypes.addressof(program))
        )


def workers_of(frames: npt.NDArray[np.uint8], n: int) -> npt.NDArray[np.uint32]:
    """Which of n workers gets each of the frames u8[m, F] where `spread` is in force: u32[m]."""
    word = frames[:, FRAME_COUNTER_AT : FRAME_COUNTER_AT + 4].copy().view(">u4")[:, 0]
    return (word % n).astype(np.uint32)


def prepare(sock: socket.socket, receive_buffer: int, send_buffer: int) -> None:
    """Options of a socket that is not yet bound."""
    sock.setblocking(False)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)
    set_buffer(sock, SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_buffer)
    set_buffer(sock, SO_SNDBUFFORCE, socket.SO_SNDBUF, send_buffer)


def set_buffer(sock: socket.socket, force: int, ask: int, size: int) -> None:
    """Size in bytes, past the system's maximum where this process may (CAP_NET_ADMIN), else up to it."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, ask, size)


def bind_failure(host: str, port: int, error: OSError) -> NetworkFailure:
    """The error with address and remedy."""
    code = error.errno or 0
    remedy = REMEDIES.get(code) or (os.strerror(code) if code else str(error))
    return NetworkFailure(f"cannot bind UDP {format_address((host, port))}: {remedy}")
