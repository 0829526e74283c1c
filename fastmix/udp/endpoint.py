"""A bound UDP socket with the options that a mix network needs, and what the kernel says about it.

The parent process opens endpoints and hands their descriptors on; data planes and clients adopt them with
`UdpEndpoint.from_fd`, then receive and send through `UdpEndpoint.io`.
"""

import errno
import os
import socket
import struct
from types import TracebackType
from typing import Self

from fastmix.errors import NetworkFailure
from fastmix.files.addresses import format_address
from fastmix.packet.geometry import GEOMETRIES
from fastmix.udp._mmsg import UdpIo

# Linux's numbers, where the socket module has no name.
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
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
    """A bound UDP socket. Closes it with `close` or at the end of `with`."""

    def __init__(self, sock: socket.socket, receive_buffer: int | None = None) -> None:
        self._socket = sock
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
        return cls(sock, receive_buffer)

    def fileno(self) -> int:
        """The descriptor, still owned by this object."""
        return self._socket.fileno()

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) it is bound to."""
        host, port, *_ = self._socket.getsockname()
        return host, port

    @property
    def receive_buffer_size(self) -> int:
        """Bytes the kernel granted, in the unit of the request (the kernel's own figure is twice that)."""
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

    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped at this socket so far, modulo 2^32: a full receive buffer or a wrong checksum."""
        return self._meminfo()[SK_MEMINFO_DROPS]

    def io(self, *, row_size: int = ROW_SIZE, batch: int = 256) -> UdpIo:
        """Receiving and sending over this socket, batch datagrams a system call; usable until the endpoint is closed. At most
        row_size bytes of a received datagram are kept."""
        return UdpIo(self.fileno(), row_size, batch, self)

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _meminfo(self) -> tuple[int, ...]:
        raw = self._socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * SK_MEMINFO_VARS)
        return struct.unpack(f"={len(raw) // 4}I", raw)


def open_endpoint(host: str, port: int, *, receive_buffer: int = RECEIVE_BUFFER, send_buffer: int = SEND_BUFFER) -> UdpEndpoint:
    """Binds a UDP socket to an IPv4 or IPv6 address; port 0 lets the kernel choose.

    The socket does not fragment, nor listen to strangers about the path's MTU. Raises `NetworkFailure` with address and
    remedy if it cannot be bound, so also where the port is in use. Buffers are in bytes; see `receive_buffer_warning`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise bind_failure(host, port, error) from None
    try:
        prepare(sock, receive_buffer, send_buffer)
        sock.bind((host, port))
        # Only now: a socket that has it at bind shares a used port in silence; later sockets of this node may share ours.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        sock.close()
        raise bind_failure(host, port, error) from None
    return UdpEndpoint(sock, receive_buffer)


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
