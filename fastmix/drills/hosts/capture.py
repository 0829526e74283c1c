"""What passes between the hosts of a `Lan`, in a pcap file: an AF_PACKET socket at the router, which all of it crosses once.

The socket takes what comes in, of IPv4: every packet once, as its host sends it, even if a cut swallows it. What the socket
could not keep is counted, so that nothing is concluded from half of the traffic.
"""

import ctypes
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from fastmix.demo.wire import CAPTURE_BUFFER, ETH_P_IP, PACKET_STATISTICS, SOL_PACKET
from fastmix.drills.hosts.lan import Lan
from fastmix.errors import NetworkFailure
from fastmix.udp.endpoint import SO_RCVBUFFORCE, set_buffer

SO_TIMESTAMPNS = 35
PCAP_NS, LINKTYPE_RAW = 0xA1B23C4D, 101
"""Of a pcap file with nanoseconds, whose packets begin with the IP header (draft-ietf-opsawg-pcap)."""
FILE_HEADER, RECORD = struct.Struct("=IHHiIII"), struct.Struct("=IIII")
PACKET_MAX = 1 << 16
LOOK_S = 0.02
SETTLED_S, PATIENCE_S = 0.1, 10.0
UDP, UDP_SIZE = 17, 8
MORE_FRAGMENTS, OFFSET = 0x2000, 0x1FFF


class Datagram(NamedTuple):
    """One UDP datagram: when it was seen (ns of the wall clock), from and to whom, and its payload."""

    at_ns: int
    source: tuple[str, int]
    to: tuple[str, int]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Other:
    """Any other IPv4 packet, or a fragment: `protocol` as in the IP header (1 is ICMP, 6 TCP)."""

    at_ns: int
    source: str
    to: str
    protocol: int
    packet: bytes


class Capture:
    """`with Capture(lan, path) as capture`: from then on all is written to the file; see `read_capture`."""

    def __init__(self, lan: Lan, path: Path) -> None:
        self._lan, self._path = lan, path
        self._ended = threading.Event()
        self._lost = self._written = self.written = 0

    def __enter__(self) -> Self:
        self._socket = self._lan.router.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            set_buffer(self._socket, SO_RCVBUFFORCE, socket.SO_RCVBUF, CAPTURE_BUFFER)
            self._socket.setblocking(False)
            self._file = self._path.open("wb")
        except BaseException:
            self._socket.close()
            raise
        self._file.write(FILE_HEADER.pack(PCAP_NS, 2, 4, 0, 0, PACKET_MAX, LINKTYPE_RAW))
        self._thread = threading.Thread(target=self._write, args=(self._file,), name="capture")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Writes what has come so far, and ends."""
        self._ended.set()
        self._thread.join()
        self.lost()
        self._file.close()
        self._socket.close()

    def lost(self) -> int:
        """Packets so far that the kernel could not keep for the capture."""
        if self._socket.fileno() >= 0:
            told = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)  # and begins to count anew
            self._lost += int(struct.unpack("=II", told)[1])
        return self._lost

    def settle(self) -> int:
        """Waits until nothing has been seen for a tenth of a second; how many packets there are. `NetworkFailure` where it never
        ends."""
        give_up, before = time.monotonic() + PATIENCE_S, -1
        while before != self.written:
            if time.monotonic() > give_up:
                raise NetworkFailure(f"packets still pass between the hosts after {PATIENCE_S:.0f} s")
            before = self.written
            time.sleep(SETTLED_S)
        return before

    def _write(self, file: BinaryIO) -> None:
        """The thread: until it is ended and nothing waits any more."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while poll.poll(LOOK_S * 1000) or not self._ended.is_set():
            self._take(file)

    def _take(self, file: BinaryIO) -> None:
        while True:
            try:
                packet, ancillary, _, address = self._socket.recvmsg(
                    PACKET_MAX, socket.CMSG_SPACE(ctypes.sizeof(ctypes.c_long) * 2)
                )
            except BlockingIOError:
                file.flush()
                self.written = self._written
                return
            if address[2] != socket.PACKET_OUTGOING:
                seconds, ns = struct.unpack("=qq", ancillary[0][2])
                file.write(RECORD.pack(seconds & 0xFFFFFFFF, ns, len(packet), len(packet)) + packet)
                self._written += 1


def read_capture(path: Path) -> Iterator[Datagram | Other]:
    """What a capture has written, in the order in which it was seen. `NetworkFailure` for a file that is none."""
    with path.open("rb") as file:
        head = file.read(FILE_HEADER.size)
        if len(head) < FILE_HEADER.size or FILE_HEADER.unpack(head)[0] != PCAP_NS:
            raise NetworkFailure(f"{path}: is no capture with nanoseconds of this machine's byte order")
        while record := file.read(RECORD.size):
            seconds, ns, size, _ = RECORD.unpack(record)
            yield parse(seconds * 10**9 + ns, file.read(size))


def parse(at_ns: int, packet: bytes) -> Datagram | Other:
    """One IPv4 packet (RFC 791) as it is on the wire."""
    fragment, protocol = struct.unpack_from("!6xHxB", packet)
    source, to = (str(IPv4Address(packet[at : at + 4])) for at in (12, 16))
    if protocol != UDP or fragment & (MORE_FRAGMENTS | OFFSET):
        return Other(at_ns, source, to, protocol, packet)
    udp = (packet[0] & 15) * 4
    source_port, to_port, size = struct.unpack_from("!HHH", packet, udp)
    return Datagram(at_ns, (source, source_port), (to, to_port), packet[udp + UDP_SIZE : udp + size])
