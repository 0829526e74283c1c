"""X25519 of every instruction set: Wycheproof in full, RFC 7748, every batch size, edges of the field."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from published import BATCH_SIZES, random_rows, records, rows, wycheproof

from fastmix.kernels import _native, isa
from fastmix.reference.x25519 import x25519

P = 2**255 - 19
pytestmark = pytest.mark.parametrize("name", isa.supported())
unhex = bytes.fromhex


def test_wycheproof_in_one_batch(vectors, name):
    tests = wycheproof(vectors("wycheproof/x25519_test.json"))
    assert len(tests) == 518
    scalars, points, shared = (rows(*(unhex(test[part]) for test in tests)) for part in ("private", "public", "shared"))
    assert np.array_equal(_native.x25519(scalars, points, name), shared)


def test_rfc_7748(vectors, name):
    for record in records(vectors("rfc/x25519_rfc7748.txt")):
        got = _native.x25519(rows(unhex(record["INPUT_SCALAR"])), rows(unhex(record["INPUT_U"])), name)
        assert got[0].tobytes() == unhex(record["OUTPUT_U"])


def test_rfc_7748_iterated(name):
    k = u = rows((9).to_bytes(32, "little"))
    for _ in range(1000):
        k, u = _native.x25519(k, u, name), k
    assert k[0].tobytes().hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


@pytest.mark.parametrize("n", BATCH_SIZES)
def test_each_lane_equals_another_implementation(name, n):
    scalars, publics = random_rows(n, n, 32), random_rows(n + 1, n, 32)
    got = _native.x25519(scalars, publics, name)
    for scalar, public, shared in zip(scalars, publics, got, strict=True):
        theirs = X25519PrivateKey.from_private_bytes(scalar.tobytes())
        assert theirs.exchange(X25519PublicKey.from_public_bytes(public.tobytes())) == shared.tobytes()


def test_edges_of_the_field(name):
    """Small and large numbers, from both sides of 2^51 limbs and of p, with and without the ignored top bit."""
    near = {0, P, 2**255 - 1} | {2**bit for bit in (26, 51, 52, 102, 104, 153, 204, 208, 254)}
    values = sorted({(value + step) % 2**255 for value in near for step in range(-2, 3)})
    points = rows(*((value | top << 255).to_bytes(32, "little") for value in values for top in (0, 1)))
    scalars = random_rows(5, len(points), 32)
    scalars[::5] = 255
    scalars[1::5] = 0
    got = _native.x25519(scalars, points, name)
    for scalar, point, shared in zip(scalars, points, got, strict=True):
        assert shared.tobytes() == x25519(scalar.tobytes(), point.tobytes())
