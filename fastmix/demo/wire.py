"""Datagrams as they pass on the wire: a capture of the loopback interface or, without the right to one, relays before nodes."""

import ctypes
import selectors
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Protocol

from fastmix.udp.endpoint import SO_RCVBUFFORCE, UdpEndpoint, open_endpoint, set_buffer

Datagram = tuple[int, int, memoryview]
"""Port it came from, port it went to, payload; the payload is good until the next one."""

CAPTURE_BUFFER = 64 << 20
"""Bytes; about 25,000 datagrams of a kilobyte."""
ETH_P_IP = 0x0800
SO_ATTACH_FILTER = 26
SOL_PACKET, PACKET_STATISTICS, PACKET_VNET_HDR = 263, 6, 15
VNET_SIZE, ETHERNET_SIZE, UDP_SIZE = 10, 14, 8
TRAIN_MAX = 1 << 17
BURST = 256
"""Datagrams that are taken between two looks at what else there is to do."""


class Wire(Protocol):
    """Where datagrams are seen."""

    def fileno(self) -> int:
        """Readable when something may have passed."""
        ...

    def passed(self) -> Iterator[Datagram]:
        """What has passed since the last call, up to some hundreds."""
        ...

    def lost(self) -> int:
        """Datagrams so far that passed unseen or, by a relay, were lost."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


def may_capture() -> bool:
    """Whether this process has the right to capture (CAP_NET_RAW)."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError:
        return False
    return True


class Capture:
    """IPv4 datagrams that arrive on the loopback interface from or for some ports.

    A socket of one protocol sees only what comes in, so that nothing is seen twice. Trains of datagrams that the kernel carries
    as one (GSO) are split as it will split them: the header before each tells their size.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self._socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        set_buffer(self._socket, SO_RCVBUFFORCE, socket.SO_RCVBUF, CAPTURE_BUFFER)
        attach_filter(self._socket, port_filter(ports))
        self._socket.bind(("lo", ETH_P_IP))
        self._buffer = bytearray(TRAIN_MAX)
        self._lost = 0

    def fileno(self) -> int:
        """Of the socket."""
        return self._socket.fileno()

    def passed(self) -> Iterator[Datagram]:
        """Up to 256 trains."""
        for _ in range(BURST):
            try:
                size, address = self._socket.recvfrom_into(self._buffer)
            except BlockingIOError:
                return
            if address[2] != socket.PACKET_OUTGOING:
                yield from split_train(memoryview(self._buffer)[:size])

    def lost(self) -> int:
        """What the kernel could not keep for us."""
        statistics = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        self._lost += int(struct.unpack("=II", statistics)[1])
        return self._lost

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


def split_train(frame: memoryview) -> Iterator[Datagram]:
    """The datagrams of one captured frame: virtio_net_hdr (linux/virtio_net.h), Ethernet, IPv4, UDP, payload."""
    (gso_size,) = struct.unpack_from("=H", frame, 4)
    ip = VNET_SIZE + ETHERNET_SIZE
    udp = ip + (frame[ip] & 15) * 4
    source, to, size = struct.unpack_from("!HHH", frame, udp)
    whole = len(frame) - udp if gso_size else size
    payload = frame[udp + UDP_SIZE : udp + whole]
    step = gso_size or len(payload) or 1
    for at in range(0, max(len(payload), 1), step):
        yield source, to, payload[at : at + step]


def port_filter(ports: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """A classic BPF program (code, jump if true, if false, value): UDP over IPv4, from or for one of the ports."""
    reject = 5 + 2 * len(ports)
    program = [
        (0x30, 0, 0, ETHERNET_SIZE + 9),  # the protocol in the IPv4 header
        (0x15, 0, reject - 2, socket.IPPROTO_UDP),
        (0xB1, 0, 0, ETHERNET_SIZE),  # X = size of the IPv4 header
    ]
    for at in (0, 2):  # source port, destination port
        program.append((0x48, 0, 0, ETHERNET_SIZE + at))
        program += [(0x15, reject - len(program) - i, 0, port) for i, port in enumerate(ports)]
    return [*program, (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF)]


def attach_filter(sock: socket.socket, program: Sequence[tuple[int, int, int, int]]) -> None:
    """Gives the socket a BPF program (linux/filter.h)."""
    code = b"".join(struct.pack("=HBBI", *step) for step in program)
    held = ctypes.create_string_buffer(code)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(held)))


class Relays:
    """Sockets that stand before nodes, see what comes, and hand it on."""

    def __init__(self, host: str, ways: Sequence[tuple[int, int]]) -> None:
        """`ways`: (own port, port of the node behind it)."""
        self._host = host
        self._ends: dict[int, tuple[UdpEndpoint, socket.socket, int]] = {}
        self._selector = selectors.EpollSelector()
        for port, target in ways:
            endpoint = open_endpoint(host, port)
            sock = socket.socket(fileno=socket.dup(endpoint.fileno()))
            self._ends[port] = endpoint, sock, target
            self._selector.register(sock, selectors.EVENT_READ, port)
        self._buffer = bytearray(TRAIN_MAX)
        self._lost = 0

    def fileno(self) -> int:
        """Readable when one of the sockets is."""
        return self._selector.fileno()

    def passed(self) -> Iterator[Datagram]:
        """Up to 256 datagrams of each socket, handed on."""
        for key, _ in self._selector.select(0):
            _, sock, target = self._ends[key.data]
            for _ in range(BURST):
                try:
                    size, address = sock.recvfrom_into(self._buffer)
                except BlockingIOError:
                    break
                datagram = memoryview(self._buffer)[:size]
                try:
                    sock.sendto(datagram, (self._host, target))
                except OSError:
                    self._lost += 1
                yield address[1], key.data, datagram

    def lost(self) -> int:
        """What the relays' sockets dropped, and what could not be handed on."""
        return self._lost + sum(endpoint.kernel_drop_events() for endpoint, _, _ in self._ends.values())

    def close(self) -> None:
        """Closes the sockets."""
        self._selector.close()
        for endpoint, sock, _ in self._ends.values():
            sock.close()
            endpoint.close()
