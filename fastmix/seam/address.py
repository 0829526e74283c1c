"""Socket addresses as the bytes that the system calls take, in shared memory and in C."""

import ipaddress
import socket
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.errors import ConfigError
from fastmix.seam.layout import ADDRESS

IPV4 = struct.Struct("!2xH4s8x")
"""sockaddr_in after its family, which is in the machine's byte order."""
IPV6 = struct.Struct("!2xHI16s4x")
"""sockaddr_in6 alike; flow information 0. The scope, in the machine's byte order, is its last four bytes."""


def pack_address(host: str, port: int) -> Any:
    """The ADDRESS item (a struct fm_address) of an IP address and a port; `ConfigError` if they are none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ConfigError(f"host {host!r} is not an IP address: write 127.0.0.1 or ::1") from None
    if not 0 <= port <= 65535:
        raise ConfigError(f"port {port} must be from 0 to 65535")
    if isinstance(address, ipaddress.IPv4Address):
        packed = bytearray(IPV4.pack(port, address.packed))
        struct.pack_into("=H", packed, 0, socket.AF_INET)
    else:
        packed = bytearray(IPV6.pack(port, 0, address.packed))
        struct.pack_into("=H", packed, 0, socket.AF_INET6)
        scope = address.scope_id or "0"
        struct.pack_into("=I", packed, 24, int(scope) if scope.isdigit() else socket.if_nametoindex(scope))
    item = np.zeros((), ADDRESS)
    item["bytes"][: len(packed)] = np.frombuffer(packed, np.uint8)
    item["size"] = len(packed)
    return item[()]


def address_pair(item: npt.NDArray[Any] | np.void) -> tuple[str, int]:
    """(host, port) of an ADDRESS item; `ValueError` if it holds none. A link-local host ends in `%` and its scope's number."""
    raw, size = bytes(item["bytes"]), int(item["size"])
    (family,) = struct.unpack_from("=H", raw)
    if size == IPV4.size and family == socket.AF_INET:
        port, host = IPV4.unpack_from(raw)
        return str(ipaddress.IPv4Address(host)), port
    if size == IPV6.size and family == socket.AF_INET6:
        port, _flow, host = IPV6.unpack_from(raw)
        (scope,) = struct.unpack_from("=I", raw, 24)
        return str(ipaddress.IPv6Address(host)) + (f"%{scope}" if scope else ""), port
    raise ValueError(f"an address of family {family} and {size} bytes is neither IPv4 nor IPv6")
