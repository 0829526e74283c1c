"""The offloads of a network interface, which only an ioctl tells: what the command `ethtool -k` and `-K` do."""

import ctypes
import errno
import fcntl
import socket
import struct

SIOCETHTOOL = 0x8946
GSSET_INFO, GSTRINGS, GFEATURES, SFEATURES = 0x37, 0x1B, 0x3A, 0x3B
"""Commands of linux/ethtool.h: how many names, the names, the bits, new bits."""
FEATURE_NAMES = 4
NAME_SIZE = 32
WORD = 32
BLOCK = struct.Struct("=IIII")
"""Of 32 features: which could be switched, are wanted, are on, can never be switched."""


def read_offload(interface: str, name: str) -> str:
    """`on` or `off`. `OSError` (ENODEV, EOPNOTSUPP) where the interface has no such offload, and so never will."""
    block, bit = _place(interface, name)
    switchable, _, active, _ = _blocks(interface)[block]
    if not (active | switchable) & bit:
        raise OSError(errno.EOPNOTSUPP, f"{interface} cannot switch {name} on")
    return "on" if active & bit else "off"


def write_offload(interface: str, name: str, value: str) -> None:
    """Switches it; `OSError` where the driver does not: EOPNOTSUPP if it never will."""
    block, bit = _place(interface, name)
    blocks = _blocks(interface)
    if not blocks[block][0] & bit:
        raise OSError(errno.EOPNOTSUPP, f"{interface} cannot switch {name}")
    words = [(bit, bit if value == "on" else 0) if at == block else (0, 0) for at in range(len(blocks))]
    _ioctl(interface, struct.pack("=II", SFEATURES, len(blocks)) + b"".join(struct.pack("=II", *pair) for pair in words))


def _place(interface: str, name: str) -> tuple[int, int]:
    """(block, bit) of a feature."""
    names = _names(interface)
    if name not in names:
        raise OSError(errno.EOPNOTSUPP, f"{interface} knows no {name}")
    at = names.index(name)
    return at // WORD, 1 << at % WORD


def _names(interface: str) -> list[str]:
    told = _ioctl(interface, struct.pack("=IIQI", GSSET_INFO, 0, 1 << FEATURE_NAMES, 0))
    (n,) = struct.unpack_from("=I", told, 16)
    told = _ioctl(interface, struct.pack("=III", GSTRINGS, FEATURE_NAMES, n) + bytes(NAME_SIZE * n))
    return [told[12 + NAME_SIZE * at :][:NAME_SIZE].split(b"\0")[0].decode() for at in range(n)]


def _blocks(interface: str) -> list[tuple[int, ...]]:
    n = -(-len(_names(interface)) // WORD)
    told = _ioctl(interface, struct.pack("=II", GFEATURES, n) + bytes(BLOCK.size * n))
    return [BLOCK.unpack_from(told, 8 + BLOCK.size * at) for at in range(n)]


def _ioctl(interface: str, command: bytes) -> bytes:
    """Hands a command to the interface's driver; returns it as the driver has filled it."""
    memory = ctypes.create_string_buffer(command, len(command))
    request = struct.pack("16sP16x", interface.encode()[:15], ctypes.addressof(memory))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, request)
    return memory.raw
