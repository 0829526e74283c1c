"""The observer's eyes: the filter, trains, and relays."""

import socket
import struct

import pytest

from fastmix.demo.wire import Capture, Datagram, Relays, Wire, may_capture, port_filter, split_train

HOST = "127.0.0.1"


def captured(payload: bytes, gso_size: int = 0) -> memoryview:
    """A frame as a capture holds it: virtio_net_hdr, Ethernet, IPv4, UDP from port 5 to port 6."""
    vnet = struct.pack("=BBHHHH", 0, 5 if gso_size else 0, 42, gso_size, 0, 0)
    ip = bytes([0x45]) + bytes(8) + bytes([17]) + bytes(10)
    udp_size = (gso_size or len(payload)) + 8
    return memoryview(vnet + bytes(14) + ip + struct.pack("!HHHH", 5, 6, udp_size, 0) + payload)


def payloads(frame: memoryview) -> list[bytes]:
    found = list(split_train(frame))
    assert all((source, to) == (5, 6) for source, to, _ in found)
    return [bytes(payload) for _, _, payload in found]


def test_a_single_datagram_is_itself() -> None:
    assert payloads(captured(b"0123456789")) == [b"0123456789"]
    assert payloads(captured(b"")) == [b""]


def test_a_train_is_split_as_the_kernel_will() -> None:
    assert payloads(captured(b"0123456789", gso_size=4)) == [b"0123", b"4567", b"89"]


def accepts(ports: list[int], protocol: int, source: int, to: int, options: int = 0) -> bool:
    """Runs the filter over a packet, as the kernel would."""
    packet = (
        bytes(14)
        + bytes([0x45 + options])
        + bytes(8)
        + bytes([protocol])
        + bytes(10 + 4 * options)
        + struct.pack("!HH", source, to)
    )
    accumulator = index = at = 0
    program = port_filter(ports)
    while True:
        code, if_true, if_false, value = program[at]
        at += 1
        if code == 0x30:
            accumulator = packet[value]
        elif code == 0xB1:
            index = 4 * (packet[value] & 15)
        elif code == 0x48:
            accumulator = int.from_bytes(packet[index + value : index + value + 2], "big")
        elif code == 0x15:
            at += if_true if accumulator == value else if_false
        else:
            return bool(value)


@pytest.mark.parametrize("options", [0, 3])
@pytest.mark.parametrize("ports", [[9], [9, 10, 11], list(range(9, 18))])
def test_the_filter_lets_pass_what_belongs_to_the_ports(ports: list[int], options: int) -> None:
    for port in ports:
        assert accepts(ports, 17, port, 40_000, options)
        assert accepts(ports, 17, 40_000, port, options)
        assert not accepts(ports, 6, port, port, options)
    assert not accepts(ports, 17, 8, 40_000, options)


def collect(wire: Wire, n: int) -> list[tuple[int, int, bytes]]:
    import select

    found: list[tuple[int, int, bytes]] = []
    while len(found) < n:
        assert select.select([wire], [], [], 10)[0]
        found += [(source, to, bytes(payload)) for source, to, payload in seen(wire)]
    return found


def seen(wire: Wire) -> list[Datagram]:
    return [(source, to, memoryview(bytes(payload))) for source, to, payload in wire.passed()]


def test_relays_hand_on_and_see() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        node.bind((HOST, 0))
        peer.bind((HOST, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        relays = Relays(HOST, [(port, node.getsockname()[1])])
        for payload in (b"one", b"two"):
            peer.sendto(payload, (HOST, port))
        own = peer.getsockname()[1]
        assert collect(relays, 2) == [(own, port, b"one"), (own, port, b"two")]
        assert [node.recv(10), node.recv(10)] == [b"one", b"two"]
        assert relays.lost() == 0
        relays.close()


def test_a_capture_sees_each_datagram_once_and_splits_trains() -> None:
    """Where this process may capture; elsewhere it must say so."""
    if not may_capture():
        with pytest.raises(PermissionError):
            Capture([1])
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        node.bind((HOST, 0))
        peer.bind((HOST, 0))
        own, to = peer.getsockname()[1], node.getsockname()[1]
        capture = Capture([to])
        peer.sendto(b"single", (HOST, to))
        peer.setsockopt(socket.IPPROTO_UDP, 103, 4)  # UDP_SEGMENT
        peer.sendto(b"abcdefghij", (HOST, to))
        assert collect(capture, 4) == [(own, to, part) for part in (b"single", b"abcd", b"efgh", b"ij")]
        assert not seen(capture)
        assert capture.lost() == 0
        capture.close()
