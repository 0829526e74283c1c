"""What the primitives leave on the stack: nothing of keys, of what is derived from them, or of shared secrets."""

import os
import threading

import numpy as np
import pytest
from crafted import Rows, crafted, derived
from published import random_rows

from fastmix.kernels import _native, _unwrap, isa
from fastmix.packet.geometry import WAN

pytestmark = pytest.mark.parametrize("name", isa.supported())
N = 21


def stack() -> bytes:
    """This process's first stack, below the frames in use too."""
    assert threading.current_thread() is threading.main_thread()
    with open("/proc/self/maps") as maps:
        start, end = (int(text, 16) for text in next(line for line in maps if "[stack]" in line).split()[0].split("-"))
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        memory.seek(start)
        return memory.read(end - start)


def found_on(seen: bytes, secrets: Rows) -> list[tuple[int, int]]:
    """(row, byte) of each word of the secrets that lies there, as it is or in all lanes of a small vector."""
    found = []
    for row, secret in enumerate(secrets):
        words = [(at, secret[at : at + 4].tobytes() * 4) for at in range(0, len(secret), 4)]
        words += [(at, secret[at : at + 8].tobytes()) for at in range(0, len(secret), 8)]
        found += [(row, at) for at, word in words if word in seen]
    return found


def test_the_search_finds(name: str) -> None:
    buffer = np.frombuffer(os.urandom(64), np.uint8).reshape(2, 32)
    assert found_on(bytes(5) + buffer[1, 8:16].tobytes(), buffer) == [(1, 8)]
    assert found_on(bytes(5) + 4 * buffer[0, 4:8].tobytes(), buffer) == [(0, 4)]


def test_lioness_leaves_nothing(name: str) -> None:
    """Keys, the keys of its streams, its last hash."""
    keys = random_rows(1, N, 192)
    blocks = _unwrap.lioness_encrypt(random_rows(2, N, 1012), keys, isa=name)
    seen = stack()
    hashes = _native.blake2b(np.ascontiguousarray(blocks[:, 32:]), 32, keys=np.ascontiguousarray(keys[:, 128:]))
    assert found_on(seen, keys) == []
    assert found_on(seen, hashes) == []
    assert found_on(seen, blocks[:, :32] ^ hashes ^ keys[:, 96:128]) == []


def test_unwrapping_leaves_nothing(name: str) -> None:
    """The node's secret, shared secrets, all that is derived from them."""
    secret = os.urandom(32)
    made = [crafted(secret, b"\x02\x00", bytes(WAN.payload_size), 3 * i) for i in range(N)]
    packets = np.stack([np.frombuffer(packet, np.uint8) for packet in made])
    kx_publics = packets[:, :32].copy()
    columns = _unwrap.unwrap_batch(packets, secret, bytes(32), isa=name)
    seen = stack()
    secrets = np.repeat(np.frombuffer(secret, np.uint8)[None], N, 0)
    shared = _native.x25519(secrets, kx_publics)
    assert not columns["verdict"].any()
    assert found_on(seen, secrets[:1]) == []
    assert found_on(seen, shared) == []
    for number in range(4):
        personal = b"sphinx-pl-en-key" if number else b"sphinx-small-d-s"
        hashes = [derived(personal, max(number - 1, 0), row.tobytes()) for row in shared]
        assert found_on(seen, np.stack([np.frombuffer(row, np.uint8) for row in hashes])) == []
