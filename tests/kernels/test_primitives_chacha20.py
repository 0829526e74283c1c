"""ChaCha20 and Poly1305 of every instruction set: RFC 8439, OpenSSL, Wycheproof, every batch size and many lengths."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.poly1305 import Poly1305
from published import BATCH_SIZES, random_rows, records, rows, wycheproof

from fastmix.kernels import _native, isa

pytestmark = pytest.mark.parametrize("name", isa.supported())
unhex = bytes.fromhex
SIZES = (0, 1, 7, 8, 15, 16, 17, 31, 32, 63, 64, 65, 127, 128, 129, 190, 255, 256, 257, 319, 320, 321, 511, 980, 1204, 2032, 2256)


def aead_seal(key: bytes, nonce: bytes, aad: bytes, message: bytes, name: str) -> tuple[bytes, bytes]:
    """RFC 8439 section 2.8 out of the two primitives: (ciphertext, tag)."""
    block = _native.chacha20(rows(key), rows(bytes(32)), rows(nonce), isa=name)
    sealed = _native.chacha20(rows(key), rows(message), rows(nonce), np.ones(1, np.uint32), name)[0].tobytes()
    text = aad + bytes(-len(aad) % 16) + sealed + bytes(-len(sealed) % 16)
    text += len(aad).to_bytes(8, "little") + len(sealed).to_bytes(8, "little")
    return sealed, _native.poly1305(block, rows(text), name)[0].tobytes()


def test_chacha20_rfc_8439(vectors, name):
    tests = records(vectors("rfc/chacha20_rfc7539.txt"))
    assert len(tests) == 3
    for test in tests:
        counter = np.array([int(test["INITIAL_BLOCK_COUNTER"])], np.uint32)
        key, nonce, text = (rows(unhex(test[part])) for part in ("KEY", "NONCE", "PLAINTEXT"))
        assert _native.chacha20(key, text, nonce, counter, name)[0].tobytes() == unhex(test["CIPHERTEXT"])


def test_poly1305_rfc_8439(vectors, name):
    tests = records(vectors("rfc/poly1305_rfc7539.txt"))
    assert len(tests) == 11
    for test in tests:
        assert _native.poly1305(rows(unhex(test["KEY"])), rows(unhex(test["MSG"])), name)[0].tobytes() == unhex(test["TAG"])


def test_both_wycheproof(vectors, name):
    tests = [test for test in wycheproof(vectors("wycheproof/chacha20_poly1305_test.json")) if len(test["iv"]) == 24]
    assert len(tests) == 316
    for test in tests:
        sealed, tag = aead_seal(*(unhex(test[part]) for part in ("key", "iv", "aad", "msg")), name)
        assert ((sealed, tag) == (unhex(test["ct"]), unhex(test["tag"]))) == (test["result"] == "valid"), test["tcId"]


@pytest.mark.parametrize("n", BATCH_SIZES)
def test_chacha20_lanes(name, n):
    keys, nonces = random_rows(n, n, 32), random_rows(n + 1, n, 12)
    counters = np.random.default_rng(n).integers(0, 2**31, n, np.uint32)
    for size in SIZES if n == 9 else SIZES[n % 5 :: 5]:
        data = random_rows(size, n, size)
        got = _native.chacha20(keys, data, nonces, counters, name)
        for i in range(n):
            nonce = counters[i].tobytes() + nonces[i].tobytes()
            cipher = Cipher(algorithms.ChaCha20(keys[i].tobytes(), nonce), mode=None).encryptor()
            assert got[i].tobytes() == cipher.update(data[i].tobytes())


def test_chacha20_counter_wraps_within_32_bits(name):
    """The block counter is one word; the nonce never takes its carry."""
    key, nonce = random_rows(1, 1, 32), random_rows(2, 1, 12)
    long = _native.chacha20(key, np.zeros((1, 640), np.uint8), nonce, np.array([2**32 - 3], np.uint32), name)
    start = _native.chacha20(key, np.zeros((1, 448), np.uint8), nonce, np.zeros(1, np.uint32), name)
    assert np.array_equal(long[:, 192:], start)


def test_chacha20_defaults_are_zeros(name):
    key, data = random_rows(1, 3, 32), random_rows(2, 3, 300)
    full = _native.chacha20(key, data, np.zeros((3, 12), np.uint8), np.zeros(3, np.uint32), name)
    assert np.array_equal(_native.chacha20(key, data, isa=name), full)


@pytest.mark.parametrize("n", BATCH_SIZES)
def test_poly1305_lanes(name, n):
    keys = random_rows(n, n, 32)
    for size in SIZES if n == 9 else SIZES[n % 5 :: 5]:
        messages = random_rows(size, n, size)
        messages[::3] = 255  # sums near 2^130
        got = _native.poly1305(keys, messages, name)
        for i in range(n):
            assert got[i].tobytes() == Poly1305.generate_tag(keys[i].tobytes(), messages[i].tobytes())
