"""X25519 of every instruction set in batches: hostile neighbours, uneven sizes, results in place, the thread's rounding mode."""

import ctypes
import itertools

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from published import random_rows, rows

from fastmix.kernels import _native, isa
from fastmix.reference.x25519 import x25519

P = 2**255 - 19
LOW_ORDER = (
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
    P,
    P + 1,
)
pytestmark = pytest.mark.parametrize("name", isa.supported())


def exchanged(scalars, points):
    """The same by OpenSSL."""
    keys = [X25519PrivateKey.from_private_bytes(scalar.tobytes()) for scalar in scalars]
    publics = [X25519PublicKey.from_public_bytes(point.tobytes()) for point in points]
    return rows(*(key.exchange(public) for key, public in zip(keys, publics, strict=True)))


def test_a_low_order_point_in_any_lane_spoils_only_itself(name):
    scalars, points = random_rows(1, 19, 32), random_rows(2, 19, 32)
    honest = _native.x25519(scalars, points, name)
    assert np.array_equal(honest, exchanged(scalars, points))
    for lane, (value, top) in itertools.product(range(19), zip(LOW_ORDER, itertools.cycle((0, 1)), strict=False)):
        hostile = points.copy()
        hostile[lane] = np.frombuffer((value | top << 255).to_bytes(32, "little"), np.uint8)
        got = _native.x25519(scalars, hostile, name)
        assert not got[lane].any()
        assert np.array_equal(np.delete(got, lane, 0), np.delete(honest, lane, 0))


def test_a_batch_of_nothing_but_low_order_points(name):
    points = rows(*(value.to_bytes(32, "little") for value in LOW_ORDER * 5))
    assert not _native.x25519(random_rows(3, len(points), 32), points, name).any()


@pytest.mark.parametrize("n", [3, 4, 5, 12, 63, 65, 255, 257, 520])
def test_uneven_sizes(name, n):
    scalars, points = random_rows(n, n, 32), random_rows(n + 1, n, 32)
    assert np.array_equal(_native.x25519(scalars, points, name), exchanged(scalars, points))


def test_limbs_at_both_ends(name):
    """Points and scalars whose 51-bit limbs are all ones, all zeros, or the largest and smallest signed ones."""
    limbs = itertools.product((2**51 - 1, 2**50, 2**50 - 1, 1 - 2**50), repeat=5)
    values = [sum(limb << 51 * k for k, limb in enumerate(five)) % P for five in limbs][::7]
    points = rows(*(value.to_bytes(32, "little") for value in values))
    scalars = points[::-1].copy()
    got = _native.x25519(scalars, points, name)
    for scalar, point, shared in zip(scalars, points, got, strict=True):
        assert shared.tobytes() == x25519(scalar.tobytes(), point.tobytes())


def call(name, out, scalars, points):
    """The table's function itself on rows of u8[n, 32]; `out` may be one of the others."""
    table = ctypes.cast(_native.kernels_address(name), ctypes.POINTER(ctypes.c_void_p))
    lanes = [(ctypes.c_void_p * len(out))(*(x.ctypes.data + 32 * i for i in range(len(out)))) for x in (out, scalars, points)]
    ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_size_t)(table[1])(*lanes, len(out))


@pytest.mark.parametrize("n", [5, 300])
def test_results_may_overwrite_scalars_or_points(name, n):
    scalars, points = random_rows(6, n, 32), random_rows(7, n, 32)
    expected = _native.x25519(scalars, points, name)
    over_scalars, over_points = scalars.copy(), points.copy()
    call(name, over_scalars, over_scalars, points)
    call(name, over_points, scalars, over_points)
    assert np.array_equal(over_scalars, expected)
    assert np.array_equal(over_points, expected)


def test_nothing_but_the_lanes_is_written(name):
    out = np.full((12, 32), 0xA5, np.uint8)
    scalars, points = random_rows(8, 12, 32), random_rows(9, 12, 32)
    call(name, out[3:8], scalars[3:8], points[3:8])
    assert np.array_equal(out[3:8], exchanged(scalars[3:8], points[3:8]))
    assert (np.delete(out, np.s_[3:8], 0) == 0xA5).all()
    call(name, out[:0], scalars, points)
    assert (out[:3] == 0xA5).all()


def test_any_rounding_mode_of_the_thread_does_and_stays(name):
    """C's fegetround and fesetround; x86's codes of the four modes are 0, 0x400, 0x800 and 0xc00."""
    library = ctypes.CDLL(None)
    scalars, points = random_rows(10, 9, 32), random_rows(11, 9, 32)
    expected, out = exchanged(scalars, points), np.zeros((9, 32), np.uint8)
    before = library.fegetround()
    modes = [mode for mode in (0, 0x400, 0x800, 0xC00) if library.fesetround(mode) == 0]
    seen = []
    try:
        for mode in modes:
            library.fesetround(mode)
            call(name, out, scalars, points)
            seen.append((library.fegetround(), np.array_equal(out, expected)))
    finally:
        library.fesetround(before)
    assert seen == [(mode, True) for mode in modes]


def test_thousands_of_random_ones(name):
    scalars, points = random_rows(12, 2000, 32), random_rows(13, 2000, 32)
    assert np.array_equal(_native.x25519(scalars, points, name), exchanged(scalars, points))
