"""Where the rows of every instruction set's primitives lie: any alignment, outputs over inputs, the end of readable memory."""

import ctypes

import numpy as np
import pytest
from published import random_rows
from raw_kernels import Hash, fenced, gathered, lanes, row_addresses, scattered, table

from fastmix.kernels import _native, isa

LANE_COUNTS = (0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 256)
SIZES = (1, 8, 31, 32, 33, 63, 64, 65, 127, 128, 129, 140, 190, 255, 257, 980, 1024, 1025, 1204)
pytestmark = pytest.mark.parametrize("name", isa.supported())


def sizes_for(n: int) -> tuple[int, ...]:
    """All of them at one lane more than a pass; a few elsewhere."""
    return SIZES if n in (9, 17) else SIZES[n % 4 :: 4] if n <= 33 else SIZES[n % 5 :: 7]


def blake2b(name, out, keys, key_size, messages, size, n):
    shared = Hash(32, key_size, 0x0123456789ABCDEF, None, size)
    table(name).blake2b(ctypes.byref(shared), lanes(out), lanes(keys), lanes(messages), n)


@pytest.mark.parametrize("n", LANE_COUNTS)
def test_chacha20_in_place_at_any_alignment(name, n):
    keys, nonces = random_rows(n, n, 32), random_rows(n + 1, n, 12)
    counters = np.random.default_rng(n).integers(0, 2**32, max(1, n), np.uint32)
    for size in sizes_for(n):
        data = random_rows(size, n, size)
        memory, at = scattered(data, 7)
        key_memory, key_at = scattered(keys, 5)
        nonce_memory, nonce_at = scattered(nonces, 3)
        table(name).chacha20(
            lanes(at), lanes(at), lanes(key_at), lanes(nonce_at), counters.ctypes.data_as(ctypes.c_void_p), size, n
        )
        assert np.array_equal(gathered(memory, at, size), _native.chacha20(keys, data, nonces, counters[:n], "portable"))
        assert (memory == 0x5A).all(), "something beside the rows is written"
        assert np.array_equal(gathered(key_memory, key_at, 32), keys)
        assert np.array_equal(gathered(nonce_memory, nonce_at, 12), nonces)


@pytest.mark.parametrize("n", LANE_COUNTS)
def test_chacha20_without_input_or_nonce(name, n):
    """The bare keystream, one key for all lanes where a row's key is another row's too."""
    keys = np.repeat(random_rows(n, 1, 32), n, axis=0)
    for size in sizes_for(n):
        memory, at = scattered(np.zeros((n, size), np.uint8), 9)
        table(name).chacha20(lanes(at), None, lanes([keys.ctypes.data] * n), None, None, size, n)
        assert np.array_equal(gathered(memory, at, size), _native.chacha20(keys, np.zeros((n, size), np.uint8), isa="portable"))
        assert (memory == 0x5A).all()


@pytest.mark.parametrize("n", LANE_COUNTS)
def test_poly1305_at_any_alignment(name, n):
    keys = random_rows(n, n, 32)
    keys[::4, :16] = 255
    for size in sizes_for(n):
        messages = random_rows(size, n, size)
        messages[1::3] = 255
        memory, at = scattered(messages, 5)
        tags, tags_at = scattered(np.zeros((n, 16), np.uint8), 3)
        table(name).poly1305(lanes(tags_at), lanes(row_addresses(keys)), lanes(at), size, n)
        assert np.array_equal(gathered(tags, tags_at, 16), _native.poly1305(keys, messages, "portable"))
        assert (tags == 0x5A).all()
        assert np.array_equal(gathered(memory, at, size), messages)


@pytest.mark.parametrize("n", LANE_COUNTS)
def test_blake2b_over_its_inputs(name, n):
    """The digest takes the place of the key, then of the message's first bytes."""
    for size in sizes_for(n):
        keys, messages = random_rows(size, n, 64), random_rows(n, n, max(size, 32))
        salt = 0x0123456789ABCDEF
        expected = _native.blake2b(messages, 32, keys, salt, bytes(16), "portable")
        memory, at = scattered(keys, 7)
        blake2b(name, at, at, 64, row_addresses(messages), messages.shape[1], n)
        after = gathered(memory, at, 64)
        assert np.array_equal(after[:, :32], expected)
        assert np.array_equal(after[:, 32:], keys[:, 32:])
        assert (memory == 0x5A).all()
        memory, at = scattered(messages, 7)
        blake2b(name, at, row_addresses(keys), 64, at, messages.shape[1], n)
        assert np.array_equal(gathered(memory, at, messages.shape[1])[:, :32], expected)
        assert (memory == 0x5A).all()


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 7, 8, 9, 17])
def test_x25519_over_its_inputs(name, n):
    scalars, points = random_rows(n, n, 32), random_rows(n + 1, n, 32)
    expected = _native.x25519(scalars, points, "portable")
    for over, other in ((scalars, points), (points, scalars)):
        memory, at = scattered(over, 5)
        pair = (at, row_addresses(other)) if over is scalars else (row_addresses(other), at)
        table(name).x25519(lanes(at), *map(lanes, pair), n)
        assert np.array_equal(gathered(memory, at, 32), expected)
        assert (memory == 0x5A).all()


@pytest.mark.parametrize("size", [*range(1, 20), 31, 33, 63, 65, 95, 97, 127, 129, 140, 191, 193, 980, 1025])
def test_nothing_is_read_or_written_behind_a_row(name, size):
    """The last row of each call ends at a page that cannot be touched."""
    n = 1 + size % 17
    keys, key_size = random_rows(size, n, 64), 1 + size % 64
    data = random_rows(size, n, size)
    with fenced(n * size) as memory, fenced(n * 32) as key_memory:
        key_memory[:] = keys[:, :32].ravel()
        key_at = lanes([key_memory.ctypes.data + 32 * i for i in range(n)])
        rows = memory.reshape(n, size)
        out = np.zeros((n, 32), np.uint8)
        rows[:] = data
        table(name).chacha20(lanes(row_addresses(rows)), lanes(row_addresses(rows)), key_at, None, None, size, n)
        assert np.array_equal(rows, _native.chacha20(keys[:, :32], data, isa="portable"))
        rows[:] = data
        table(name).poly1305(lanes(row_addresses(out)), key_at, lanes(row_addresses(rows)), size, n)
        assert np.array_equal(out[:, :16], _native.poly1305(keys[:, :32], data, "portable"))
        blake2b(name, row_addresses(out), row_addresses(keys), key_size, row_addresses(rows), size, n)
        assert np.array_equal(out, _native.blake2b(data, 32, keys[:, :key_size], 0x0123456789ABCDEF, bytes(16), isa="portable"))
        del rows
