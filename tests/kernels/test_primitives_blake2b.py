"""BLAKE2b of every instruction set: the known answers, keyed and not, salt and personalisation, every batch size."""

import hashlib

import numpy as np
import pytest
from published import BATCH_SIZES, random_rows, records, rows

from fastmix.kernels import _native, isa

pytestmark = pytest.mark.parametrize("name", isa.supported())


def test_known_answers(vectors, name):
    tests = [test for test in vectors("blake2/blake2-kat.json") if test["hash"] == "blake2b"]
    assert len(tests) == 512
    for test in tests:
        message, key = rows(bytes.fromhex(test["in"])), rows(bytes.fromhex(test["key"]))
        assert _native.blake2b(message, 64, key, isa=name)[0].tobytes().hex() == test["out"]


def test_published_unkeyed(vectors, name):
    for test in records(vectors("rfc/blake2b.txt")):
        message = bytes.fromhex(test["MSG"])[: int(test["LEN"]) // 8]
        assert _native.blake2b(rows(message), isa=name)[0].tobytes().hex() == test["MD"].lower()


@pytest.mark.parametrize("n", BATCH_SIZES)
@pytest.mark.parametrize(
    "shape", [(64, 32, 0), (16, 16, 140), (16, 32, 32), (32, 64, 0), (32, 64, 980), (20, 1, 128), (1, 0, 129)]
)
def test_salted_personalised_lanes(name, n, shape):
    out_size, key_size, message_size = shape
    keys, messages = random_rows(n, n, key_size), random_rows(n + 1, n, message_size)
    salt, personal = n * 0x0123456789AB, b"sphinx-small-d-s"
    got = _native.blake2b(messages, out_size, keys, salt, personal, name)
    for i in range(n):
        theirs = hashlib.blake2b(
            messages[i].tobytes(), digest_size=out_size, key=keys[i].tobytes(), salt=salt.to_bytes(8, "little"), person=personal
        )
        assert got[i].tobytes() == theirs.digest()


def test_every_size_of_output_key_and_message(name):
    for size in range(1, 65):
        message, key = random_rows(size, 3, 5 * size), random_rows(size, 3, size)
        got = _native.blake2b(message, size, key, 2**64 - 1, bytes(range(16)), name)
        for i in range(3):
            theirs = hashlib.blake2b(
                message[i].tobytes(), digest_size=size, key=key[i].tobytes(), salt=b"\xff" * 8, person=bytes(range(16))
            )
            assert got[i].tobytes() == theirs.digest()


def test_nothing_given(name):
    assert _native.blake2b(np.zeros((1, 0), np.uint8), isa=name)[0].tobytes() == hashlib.blake2b().digest()
