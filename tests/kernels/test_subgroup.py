"""The subgroup check of every instruction set against its twin, and unwrapping with `strict_kx`."""

import edwards
import numpy as np
import pytest
from crafted import crafted
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from published import random_rows, rows
from raw_kernels import lanes, scattered, table

from fastmix import sphinx
from fastmix.kernels import _native, _unwrap, isa
from fastmix.packet.geometry import WAN
from fastmix.packet.verdict import Verdict
from fastmix.reference import sphinx_unwrap
from fastmix.reference.subgroup import in_subgroup
from fastmix.reference.x25519 import P

ISA = pytest.mark.parametrize("name", isa.supported())
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 256)
SECRET = bytes(range(1, 33))
REPLAY_KEY = bytes(32)
EDGES = [n.to_bytes(32, "little") for n in (0, 1, 2, 9, P - 2, P - 1, P, P + 1, P + 9, 2**255 - 1, 2**255 + 9, 2**256 - 1)]


def members(n: int, seed: int = 0) -> np.ndarray:
    """u8[n, 32]: public keys."""
    secrets = random_rows(seed, n, 32)
    keys = [X25519PrivateKey.from_private_bytes(secret.tobytes()).public_key().public_bytes_raw() for secret in secrets]
    return rows(*keys) if n else np.zeros((0, 32), np.uint8)


def low_order() -> list[bytes]:
    return [edwards.u_of(point) for point in edwards.torsion()]


@pytest.fixture(scope="module")
def mixture() -> tuple[np.ndarray, list[bool]]:
    """u8[256, 32]: members, their siblings, low order, edges, random numbers; and what the twin says."""
    some = members(30, 1)
    found = [row.tobytes() for row in some] + [each for row in some[:20] for each in edwards.siblings_of(row.tobytes())]
    found += low_order() + EDGES
    found += [row.tobytes() for row in random_rows(3, 256 - len(found), 32)]
    found = [found[i * 101 % 256] for i in range(256)]
    masked = [(int.from_bytes(point, "little") % 2**255 % P).to_bytes(32, "little") for point in found]
    return rows(*found), [in_subgroup(point) for point in masked]


@ISA
def test_equals_its_twin(name, mixture):
    points, expected = mixture
    assert 30 <= sum(expected) <= 80
    for n in SIZES:
        assert _native.subgroup(points[:n], name).tolist() == expected[:n]


@ISA
@pytest.mark.long
def test_thousands_equal_the_portable_ones(name):
    points = random_rows(7, 40_000, 32)
    assert np.array_equal(_native.subgroup(points, name), _native.subgroup(points, "portable"))
    assert _native.subgroup(members(5000, 8), name).all()


@ISA
@pytest.mark.parametrize("n", [1, 4, 8, 9, 17, 33, 64])
def test_one_bad_point_in_each_position(name, n):
    good = members(n, n)
    bad = [*edwards.siblings_of(good[0].tobytes()), *low_order(), (2).to_bytes(32, "little")]
    for at in range(n):
        points = good.copy()
        points[at] = np.frombuffer(bad[at % len(bad)], np.uint8)
        assert _native.subgroup(points, name).tolist() == [int(i != at) for i in range(n)]


@ISA
def test_one_good_point_in_each_position(name):
    good = members(1)[0]
    bad = rows(*(edwards.siblings_of(good.tobytes()) * 6)[:40])
    for at in range(len(bad)):
        points = bad.copy()
        points[at] = good
        assert _native.subgroup(points, name).tolist() == [int(i == at) for i in range(len(bad))]


@ISA
def test_rows_anywhere_in_memory_and_nothing_behind_the_answers(name, mixture):
    points, expected = mixture
    for n in (1, 9, 33, 100):
        memory, at = scattered(points[:n], 5)
        before, answers = memory.copy(), np.full(n + 8, 0x5A, np.uint8)
        table(name).subgroup(answers.ctypes.data, lanes(at), n)
        assert answers.tolist() == [*map(int, expected[:n]), *[0x5A] * 8]
        assert np.array_equal(memory, before)


def packets_with_siblings() -> tuple[np.ndarray, list[bool]]:
    """Five packets, each among its seven siblings; which are the originals."""
    found, original = [], []
    for i in range(5):
        packet = crafted(SECRET, b"\x02\x00", bytes(WAN.payload_size), 50 + 2 * i)
        kinds = [packet[:32], *edwards.siblings_of(packet[:32])]
        kinds = kinds[-i:] + kinds[:-i]
        found += [kx + packet[32:] for kx in kinds]
        original += [kx == packet[:32] for kx in kinds]
    return rows(*found), original


@ISA
def test_siblings_have_the_same_secret_and_are_dropped_if_asked(name):
    packets, original = packets_with_siblings()
    lax = _unwrap.unwrap_batch(packets, SECRET, REPLAY_KEY, isa=name)
    assert not lax["verdict"].any()
    assert len(np.unique(lax["tag"], axis=0)) == 5
    strict = _unwrap.unwrap_batch(packets, SECRET, REPLAY_KEY, isa=name, strict_kx=True)
    assert strict["verdict"].tolist() == [Verdict.OK if each else Verdict.DROP_KX_SUBGROUP for each in original]
    for column, array in strict.items():
        assert np.array_equal(array[original], lax[column][original])
        assert column in ("verdict", "packets") or not array[~np.array(original)].any()


def test_the_library_and_the_twin_agree():
    packets, _ = packets_with_siblings()
    packets[3, 100] ^= 1
    for strict in (False, True):
        got = sphinx.unwrap(packets, SECRET, strict_kx=strict)
        expected = [sphinx_unwrap.unwrap(packet.tobytes(), SECRET, strict_kx=strict) for packet in packets]
        assert got.verdict.tolist() == [each.verdict for each in expected]
        assert [tag.tobytes() for tag in got.tag] == [each.tag for each in expected]
        assert got.verdict[3] == Verdict.DROP_MAC, "the MAC comes first"


def test_a_sibling_that_passes_one_hop_dies_at_the_next():
    """The mark across an honest node that strict_kx is there for."""
    secrets, publics = sphinx.keypairs(2, entropy=b"siblings")
    packets = sphinx.build_requests(np.zeros((1, WAN.data_size), np.uint8), publics[None], np.zeros((1, 1), np.uint16))
    siblings = np.repeat(packets, 7, axis=0)
    siblings[:, :32] = rows(*edwards.siblings_of(packets[0, :32].tobytes()))
    passed = sphinx.unwrap(siblings, secrets[0])
    assert not passed.verdict.any()
    assert (sphinx.unwrap(passed.packets, secrets[1]).verdict == Verdict.DROP_MAC).all()
    assert (sphinx.unwrap(siblings, secrets[0], strict_kx=True).verdict == Verdict.DROP_KX_SUBGROUP).all()
    onward = sphinx.unwrap(packets, secrets[0], strict_kx=True).packets
    assert not sphinx.unwrap(onward, secrets[1], strict_kx=True).verdict.any()
