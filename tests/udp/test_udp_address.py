"""Addresses as text, pairs and socket bytes."""

import socket

import numpy as np
import pytest

from fastmix.errors import ConfigError
from fastmix.files.addresses import format_address, parse_address
from fastmix.udp.address import ADDRESS, address_pair, pack_address


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("127.0.0.1:4001", ("127.0.0.1", 4001)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("[2001:db8::7]:4001", ("2001:db8::7", 4001)),
    ],
)
def test_text_and_back(text: str, pair: tuple[str, int]) -> None:
    assert parse_address(text, least_port=0) == pair
    assert format_address(pair) == text
    assert address_pair(pack_address(*pair)) == pair


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("127.0.0.1", "is not an IP address and a port"),
        ("localhost:4001", "is not an IP address and a port"),
        ("127.0.0.1:", "has no port"),
        ("127.0.0.1:65536", "has no port"),
        ("127.0.0.1:²", "has no port"),
        ("[127.0.0.1]:4001", "brackets"),
    ],
)
def test_wrong_texts(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_address(text)


def test_packed_as_the_kernel_has_it() -> None:
    four, six = pack_address("1.2.3.4", 0x1234), pack_address("::1", 0x1234)
    assert (four["size"], six["size"]) == (16, 28)
    assert bytes(four["bytes"][2:8]) == b"\x12\x34\x01\x02\x03\x04"
    assert bytes(six["bytes"][2:4]) == b"\x12\x34"
    assert bytes(six["bytes"][8:24]) == bytes(15) + b"\x01"
    assert int(np.frombuffer(bytes(six["bytes"][:2]), np.uint16)[0]) == socket.AF_INET6


def test_link_local_keeps_its_scope() -> None:
    assert address_pair(pack_address("fe80::1%1", 5)) == ("fe80::1%1", 5)
    assert address_pair(pack_address("fe80::1%lo", 5)) == ("fe80::1%1", 5)


def test_what_cannot_be_packed() -> None:
    with pytest.raises(ConfigError, match="'localhost' is not an IP address"):
        pack_address("localhost", 1)
    with pytest.raises(ConfigError, match="port 65536"):
        pack_address("127.0.0.1", 65536)
    with pytest.raises(ValueError, match="neither IPv4 nor IPv6"):
        address_pair(np.zeros((), ADDRESS)[()])
