"""Endpoints: binding, options, and what the kernel says about them."""

import os
import socket
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from fastmix.errors import NetworkFailure
from fastmix.udp.address import ADDRESS, address_pair, pack_address
from fastmix.udp.endpoint import IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_PROBE, UdpEndpoint, open_endpoint, prepare

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


@HOSTS
def test_a_port_in_use_is_refused(host: str) -> None:
    """Also though the first socket has SO_REUSEPORT by then."""
    with open_endpoint(host, 0) as first:
        port = first.address[1]
        shown = f"[::1]:{port}" if host == "::1" else f"127.0.0.1:{port}"
        with pytest.raises(NetworkFailure) as caught:
            open_endpoint(host, port)
        assert str(caught.value).startswith(f"cannot bind UDP {shown}: the port is in use: stop the process")
    with open_endpoint(host, port) as again:
        assert again.address == (host, port)


@HOSTS
def test_another_worker_may_share_the_port(host: str) -> None:
    with open_endpoint(host, 0) as first, socket.socket(first_family(host), socket.SOCK_DGRAM) as second:
        prepare(second, 1 << 16, 1 << 16)
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        second.bind(first.address)
        assert second.getsockname()[1] == first.address[1]


def first_family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(NetworkFailure, match=r"192\.0\.2\.1:4001: no interface of this machine has this address"):
        open_endpoint("192.0.2.1", 4001)


@HOSTS
def test_nothing_is_fragmented(host: str) -> None:
    with open_endpoint(host, 0) as endpoint, socket.socket(fileno=os.dup(endpoint.fileno())) as sock:
        level, option = (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) if host == "::1" else (socket.IPPROTO_IP, IP_MTU_DISCOVER)
        assert sock.getsockopt(level, option) == PMTUDISC_PROBE
        assert not os.get_blocking(endpoint.fileno())


def test_the_receive_buffer_is_read_back() -> None:
    with open_endpoint("127.0.0.1", 0, receive_buffer=100_000) as endpoint:
        assert endpoint.receive_buffer_size == 100_000
        assert endpoint.receive_buffer_warning is None


def test_a_short_receive_buffer_is_said() -> None:
    """Asked for more than any kernel grants (its counter is an int)."""
    asked = 2**31 - 1
    with open_endpoint("127.0.0.1", 0, receive_buffer=asked) as endpoint:
        port, granted = endpoint.address[1], endpoint.receive_buffer_size
        assert granted < asked
        warning = endpoint.receive_buffer_warning
        assert warning is not None
        assert warning.startswith(
            f"UDP 127.0.0.1:{port} has a receive buffer of {granted} bytes, not {asked}: bursts may be lost"
        )
        assert f"sysctl net.core.rmem_max={asked}" in warning


@HOSTS
def test_kernel_drop_events_are_counted(host: str) -> None:
    """Sent = received + dropped, to the last datagram."""
    with open_endpoint(host, 0) as sender, open_endpoint(host, 0, receive_buffer=20_000) as endpoint:
        assert endpoint.kernel_drop_events() == 0
        n, io = 200, endpoint.io()
        addresses = np.array([pack_address(*endpoint.address)] * n, ADDRESS)
        assert not sender.io().send_from(np.zeros((n, 1232), np.uint8), np.full(n, 1232, np.uint32), addresses).any()
        received, rows = 0, np.zeros((256, 1232), np.uint8)
        while count := io.recv_into(rows)[0]:
            received += count
        assert 0 < received < n
        assert received + endpoint.kernel_drop_events() == n


ANSWER = """
import sys
import numpy as np
from fastmix.udp.endpoint import UdpEndpoint
io, row = UdpEndpoint.from_fd(int(sys.argv[1])).io(), np.zeros((1, 5), np.uint8)
io.wait(30_000_000_000)
_, sizes, senders = io.recv_into(row)
io.send_from(row & 0xDF, sizes, senders)
"""


def test_a_descriptor_is_adopted_by_another_process() -> None:
    """It answers, in capitals, what came to our socket."""
    with open_endpoint("127.0.0.1", 0) as served, open_endpoint("127.0.0.1", 0) as client:
        row, size = np.frombuffer(b"hello", np.uint8).reshape(1, 5).copy(), np.array([5], np.uint32)
        client.io().send_from(row, size, np.array([pack_address(*served.address)], ADDRESS))
        subprocess.run([sys.executable, "-c", ANSWER, str(served.fileno())], pass_fds=[served.fileno()], check=True)
        count, _, senders = client.io().recv_into(row)
        assert (count, row.tobytes()) == (1, b"HELLO")
        assert address_pair(senders[0]) == served.address


def test_what_is_no_udp_socket_is_not_adopted() -> None:
    with tempfile.TemporaryFile() as file, pytest.raises(NetworkFailure, match="is not a socket"):
        UdpEndpoint.from_fd(file.fileno())
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        with pytest.raises(NetworkFailure, match="not one of UDP"):
            UdpEndpoint.from_fd(stream.fileno())
        assert stream.getsockname(), "it stays its owner's"
