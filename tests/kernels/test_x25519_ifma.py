"""X25519 of avx512ifma below its table: both ladders, whichever this machine prefers, and limbs at the ends of their bounds."""

import ctypes
import itertools
import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from published import random_rows
from raw_kernels import gathered, lanes, row_addresses, scattered

from fastmix.kernels import _native, isa

ROOT = Path(__file__).parents[2]
FLAGS = ["-mavx2", "-mfma", "-mbmi2", "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mavx512ifma"]
SOURCES = ["tests/support/x25519_ifma_field.c", "ext/x25519_ladder_a_avx512ifma.c", "ext/x25519_portable.c", "ext/memory.c"]
P = 2**255 - 19
LOW_52 = 2**52 - 1
TIGHT_TOP = 2**47 + 2**12
BIASED = 2**62 + 2**61
OPERATIONS = {
    "mul_a": (0, 2**56, lambda a, b: a * b),
    "mul_a_biased": (1, BIASED, lambda a, b: a * b),
    "sqr_a": (2, 2**56, lambda a, _: a * a),
    "sqr_a_biased": (3, BIASED, lambda a, _: a * a),
    "mul_b": (4, int(2**61.4), lambda a, b: a * b),
    "mul_b_biased": (5, BIASED + 2**61, lambda a, b: a * b),
    "sqr_b": (6, int(2**61.4), lambda a, _: a * a),
    "sqr_b_biased": (7, BIASED + 2**61, lambda a, _: a * a),
}
"""Code in x25519_ifma_field.c, the largest limb coming out, and what it computes mod p of tight elements."""
LOW_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
    P,
    P + 1,
]
EDGES = [*LOW_ORDER, 2, 9, P - 2, P + 2, 2**255 - 1, 2**52 - 1, 2**52, 2**208 - 1, 2**254]


@pytest.fixture(scope="module", params=[name for name in ["avx512ifma"] if name in isa.supported()])
def library(tmp_path_factory):
    """The C file above, compiled for itself."""
    made = tmp_path_factory.mktemp("ifma") / "field.so"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    command = [*compiler, "-O2", "-std=c11", "-fPIC", "-shared", *FLAGS, f"-I{ROOT / 'ext'}", f"-I{ROOT / 'ext/include'}"]
    subprocess.run([*command, *(ROOT / source for source in SOURCES), "-o", made], check=True)
    return ctypes.CDLL(str(made))


@pytest.fixture(params=["", "_a", "_b"])
def multiply(request, library):
    """x25519(scalars, points) by the ladder that is measured to be faster, and by each."""
    function = library[f"fm_x25519_avx512ifma{request.param}"]

    def x25519(scalars, points, over=None):
        out = np.zeros_like(scalars) if over is None else over
        function(*(lanes(row_addresses(rows)) for rows in (out, scalars, points)), ctypes.c_size_t(len(scalars)))
        return out

    return x25519


def apply(library, code, a, b):
    """One field operation on u64[n, 5] limbs, n a multiple of 8."""
    packed = [np.ascontiguousarray(x.reshape(-1, 8, 5).swapaxes(1, 2), np.uint64) for x in (a, a, b)]
    library.field_apply(code, *(ctypes.c_void_p(x.ctypes.data) for x in packed), ctypes.c_size_t(len(a) // 8))
    return packed[0].swapaxes(1, 2).reshape(-1, 5)


def loose_values(limbs):
    return [sum(int(limb) << 52 * k for k, limb in enumerate(row)) for row in limbs]


def tight_values(limbs):
    """Of limbs 0 to 3 only the low 52 bits count."""
    return loose_values(np.column_stack([limbs[:, :4] & np.uint64(LOW_52), limbs[:, 4]]))


def tight_operands():
    """u64[n, 5] twice: all ends against each other, then random ones; with noise above bit 52 of limbs 0 to 3."""
    draw = np.random.default_rng(52)
    ends = np.array(list(itertools.product([0, LOW_52], [0, LOW_52], [0, LOW_52], [0, LOW_52], [0, TIGHT_TOP])), np.uint64)
    every = np.array(list(itertools.product(range(32), repeat=2)))
    made = []
    for i in range(2):
        random = draw.integers(0, 2**52, (4096, 5), np.uint64)
        random[:, 4] %= np.uint64(TIGHT_TOP)
        limbs = np.concatenate([ends[every[:, i]], random])
        limbs[:, :4] |= draw.integers(0, 2**12, (len(limbs), 4), np.uint64) << np.uint64(52)
        made.append(limbs)
    return made


@pytest.mark.parametrize("name", OPERATIONS)
def test_products_equal_integers_and_keep_their_bounds(library, name):
    code, largest, expected = OPERATIONS[name]
    a, b = tight_operands()
    got = apply(library, code, a, b)
    assert int(got.max()) < largest
    assert "biased" not in name or int(got.min()) >= int(2**61.9)
    values = zip(tight_values(a), tight_values(b), loose_values(got), strict=True)
    wrong = [i for i, (x, y, z) in enumerate(values) if (expected(x, y) - z) % P]
    assert not wrong, f"{name}: {len(wrong)} wrong, the first of {a[wrong[0]]} and {b[wrong[0]]}"


def loose_operands():
    draw = np.random.default_rng(64)
    top = 2**64 - 2**57  # a sum of two products, one with a bias, is below 2^63.5
    ends = np.array(list(itertools.product([0, top], repeat=5)), np.uint64)
    return np.concatenate([ends, draw.integers(0, top, (4096, 5), np.uint64), draw.integers(0, 2**56, (4096, 5), np.uint64)])


def test_carry_makes_tight(library):
    a = loose_operands()
    got = apply(library, 8, a, a)
    assert int(got[:, 4].max()) < TIGHT_TOP
    assert all((x - y) % P == 0 for x, y in zip(loose_values(a), tight_values(got), strict=True))


def test_curve_constant(library):
    _, b = tight_operands()
    a = np.resize(loose_operands()[32:], b.shape) >> np.uint64(1)
    got = apply(library, 9, a, b)
    values = zip(loose_values(a), tight_values(b), loose_values(got), strict=True)
    assert all((x + 121665 * y - z) % P == 0 for x, y, z in values)


def test_canonical(library):
    near = [(value + step) % 2**255 for value in (0, P, 2**255 - 1, 2**52, 2**208) for step in range(-3, 4)] + [0] * 5
    rows = [[value >> 52 * k & LOW_52 for k in range(5)] for value in near]
    a = np.concatenate([np.array(rows, np.uint64), loose_operands()])
    got = apply(library, 10, a, a)
    assert int(got.max()) <= LOW_52
    assert loose_values(got) == [value % P for value in loose_values(a)]


def test_one_inversion_for_all_lanes(library):
    a, _ = tight_operands()
    got = apply(library, 11, a[1024:], a[1024:])
    assert all(x * y % P == 1 for x, y in zip(tight_values(a[1024:]), tight_values(got), strict=True))


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 15, 16, 17, 24, 63, 64, 65, 255, 256, 257])
def test_every_batch_size(multiply, n):
    scalars, points = random_rows(n, n, 32), random_rows(n + 1, n, 32)
    expected = _native.x25519(scalars, points, "portable")
    assert np.array_equal(multiply(scalars, points), expected)
    kept = scalars.copy()
    assert np.array_equal(multiply(scalars, points, over=scalars), expected)
    assert np.array_equal(multiply(kept, points, over=points), expected)


def test_thousands(multiply):
    scalars, points = random_rows(1, 2000, 32), random_rows(2, 2000, 32)
    assert np.array_equal(multiply(scalars, points), _native.x25519(scalars, points, "portable"))


def test_hostile_lanes_leave_their_neighbours_alone(multiply):
    """Each edge in each of 24 lanes: a pair of groups and an odd one. Points of low order end at zero."""
    scalars, points = random_rows(3, 24, 32), random_rows(4, 24, 32)
    scalars[:2] = [[0], [255]]
    clean = _native.x25519(scalars, points, "portable")
    for edge, top in itertools.product(EDGES, (0, 2**255)):
        row = np.frombuffer((edge % 2**255 | top).to_bytes(32, "little"), np.uint8)
        alone = _native.x25519(scalars, np.tile(row, (24, 1)), "portable")
        assert alone.any() != (edge in LOW_ORDER)
        for lane in range(24):
            hostile, expected = points.copy(), clean.copy()
            hostile[lane], expected[lane] = row, alone[lane]
            assert np.array_equal(multiply(scalars, hostile), expected)


def test_all_lanes_hostile(multiply):
    rows = np.array([np.frombuffer(edge.to_bytes(32, "little"), np.uint8) for edge in np.resize(LOW_ORDER, 40).tolist()])
    assert not multiply(random_rows(5, 40, 32), rows).any()


def test_rows_at_any_alignment(library):
    scalars, points = random_rows(6, 37, 32), random_rows(7, 37, 32)
    inputs = [scattered(rows, 5) for rows in (scalars, points)]
    memory, at = scattered(np.zeros_like(points), 5)
    library.fm_x25519_avx512ifma_b(lanes(at), *(lanes(addresses) for _, addresses in inputs), ctypes.c_size_t(37))
    assert np.array_equal(gathered(memory, at, 32), _native.x25519(scalars, points, "portable"))
    assert (memory == 0x5A).all()
