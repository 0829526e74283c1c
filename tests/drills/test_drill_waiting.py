"""What waits in sockets, as the kernel's tables tell."""

import socket

from fastmix.drills.stage.waiting import backlog, bytes_of_one, waiting_at, waiting_bytes


def test_datagrams_are_counted_in_their_socket() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as third,
    ):
        for sock in (other, third):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(20)
        address = other.getsockname()
        assert waiting_bytes(address) == 0
        for n in range(1, 8):
            one.sendto(bytes(1232), address)
            one.sendto(bytes(1232), third.getsockname())
            assert waiting_at(address, 1232) >= n, "there, or in front of it"
        third.recv(2048)
        assert waiting_at(address, 1232) >= 7
        for _ in range(7):
            other.recv(2048)
        assert waiting_bytes(address) == 0


def test_one_datagram_takes_more_than_its_bytes() -> None:
    assert 1232 < bytes_of_one(1232) < 3 * 1232
    assert backlog() >= 0
