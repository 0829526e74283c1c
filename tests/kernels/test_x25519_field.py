"""The field arithmetic under X25519 of avx2 and avx512f, at the ends of what its bounds allow, against Python's integers."""

import ctypes
import itertools
import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from fastmix.kernels import isa

ROOT = Path(__file__).parents[2]
AVX2 = ["-mavx2", "-mfma", "-mbmi2"]
KERNELS = {"avx2": (4, AVX2), "avx512f": (8, [*AVX2, "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"])}
P = 2**255 - 19
HALF = 2**50
TIGHT, LOOSE = HALF + 76, int(3.6 * HALF)
OPERATIONS = {
    "mul": (0, TIGHT, TIGHT, lambda a, b: a * b),
    "mul_loose": (1, TIGHT, LOOSE, lambda a, b: a * b),
    "square": (2, TIGHT, TIGHT, lambda a, _: a * a),
    "square_loose": (3, TIGHT, LOOSE, lambda a, _: a * a),
    "add": (4, LOOSE, TIGHT, lambda a, b: a + b),
    "sub": (5, LOOSE, TIGHT, lambda a, b: a - b),
    "add_curve": (6, TIGHT, HALF + 2**21, lambda a, b: a + 121665 * b),
}
"""Code in x25519_field.c, the largest limb going in and coming out, and what it computes mod p."""


@pytest.fixture(scope="module", params=[name for name in KERNELS if name in isa.supported()])
def field(request, tmp_path_factory):
    """(lanes, apply(code, a, b)) of one instruction set; a and b are int64[n, 5] limbs, n a multiple of its lanes."""
    lanes, flags = KERNELS[request.param]
    made = tmp_path_factory.mktemp("field") / "field.so"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    sources = [ROOT / "tests/support/x25519_field.c", ROOT / "ext/x25519_portable.c", ROOT / "ext/memory.c"]
    command = [*compiler, "-O1", "-std=c11", "-fPIC", "-shared", *flags, f'-DKERNEL="x25519_{request.param}.c"']
    subprocess.run([*command, f"-I{ROOT / 'ext'}", f"-I{ROOT / 'ext/include'}", *sources, "-o", made], check=True)
    library = ctypes.CDLL(str(made))

    def apply(code, a, b):
        pointer = ctypes.POINTER(ctypes.c_double)
        packed = [np.ascontiguousarray(x.reshape(-1, lanes, 5).swapaxes(1, 2), np.float64) for x in (a, b, a)]
        addresses = [x.ctypes.data_as(pointer) for x in packed]
        library.field_apply(code, addresses[2], *addresses[:2], ctypes.c_size_t(len(a) // lanes))
        return packed[2].swapaxes(1, 2).reshape(-1, 5).astype(np.int64)

    return lanes, apply


def values(limbs):
    """Elements as Python integers."""
    return [sum(int(limb) << 51 * k for k, limb in enumerate(row)) for row in limbs]


def operands(largest):
    """int64[n, 5] twice: all signs of the largest limbs against each other, mixtures of ends and middles, and random ones."""
    signs = np.array(list(itertools.product((-1, 1), repeat=5)))
    every = np.array(list(itertools.product(range(32), repeat=2)))
    draw = np.random.default_rng(51)
    ends = np.array([0, 1, -1, HALF, -HALF, HALF - 1, 1 - HALF, largest, -largest, largest - 1, HALF // 19, 2**49 + 1])
    mixed = ends[draw.integers(0, len(ends), (2, 4096, 5))]
    random = draw.integers(-largest, largest + 1, (2, 4096, 5))
    return [np.concatenate([signs[every[:, i]] * largest, mixed[i], random[i]]) for i in range(2)]


@pytest.mark.parametrize("name", OPERATIONS)
def test_equals_integers_and_keeps_its_bounds(field, name):
    code, largest_in, largest_out, expected = OPERATIONS[name]
    a, b = operands(largest_in)
    got = field[1](code, a, b)
    assert np.abs(got).max() <= largest_out
    wrong = [i for i, (x, y, z) in enumerate(zip(values(a), values(b), values(got), strict=True)) if (expected(x, y) - z) % P]
    assert not wrong, f"{name}: {len(wrong)} wrong, the first of {a[wrong[0]]} and {b[wrong[0]]}"


def test_products_take_the_curve_sum(field):
    """The one operand that is more than tight, against the largest tight one."""
    largest = np.array([HALF + 2**21] + [HALF + 2**17] * 4)
    signs = np.array(list(itertools.product((-1, 1), repeat=5)))
    a, b = np.repeat(signs * TIGHT, 32, axis=0), np.tile(signs * largest, (32, 1))
    got = field[1](1, a, b)
    assert np.abs(got).max() <= LOOSE
    assert all((x * y - z) % P == 0 for x, y, z in zip(values(a), values(b), values(got), strict=True))


def test_inverts_each_lane(field):
    lanes, apply = field
    a = operands(TIGHT)[0][: 256 * lanes : lanes // 4 + 1]
    a = a[: len(a) // lanes * lanes]
    a[~a.any(axis=1)] = 1
    assert all(x * y % P == 1 for x, y in zip(values(a), values(apply(7, a, a)), strict=True))
