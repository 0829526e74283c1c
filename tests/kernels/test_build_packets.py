"""What the C builders build unwraps hop by hop as it should: by the twins, by the oracle, and in batches by the C unwrap."""

import numpy as np
import oracle
import pytest
from published import BATCH_SIZES
from routes import KINDS, PATHS, build, random_routes, walk_batch, walk_row

from fastmix.kernels import _build
from fastmix.packet.geometry import BATCH_MAX, GEOMETRIES, WAN, Action
from fastmix.reference.sphinx_unwrap import unwrap as twin_unwrap


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(("hops", "with_peers"), PATHS)
def test_twin_follows_every_kind(hops, with_peers, geometry):
    rng = np.random.default_rng(hops)
    routes = random_routes(rng, 1, hops, with_peers)
    for kind in KINDS:
        walk_row(build(kind, routes, geometry, rng), routes, 0, twin_unwrap)


def follow_by_oracle(n, hops, with_peers, geometry):
    rng = np.random.default_rng(n + hops)
    for kind in KINDS:
        routes = random_routes(rng, n, hops, with_peers)
        built = build(kind, routes, geometry, rng)
        for row in range(n):
            walk_row(built, routes, row, oracle.unwrap)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(("hops", "with_peers"), PATHS)
def test_oracle_follows_every_kind(hops, with_peers, geometry):
    follow_by_oracle(46, hops, with_peers, geometry)  # 11 paths: 506 of each kind and geometry


@pytest.mark.long
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(("hops", "with_peers"), PATHS)
def test_oracle_follows_thousands(hops, with_peers, geometry):
    follow_by_oracle(1000, hops, with_peers, geometry)


@pytest.mark.parametrize("n", [*BATCH_SIZES, 257])
def test_every_size_of_batch(n):
    rng = np.random.default_rng(n)
    for kind in KINDS:
        routes = random_routes(rng, n, 3, n % 2 == 0, one_path=True)
        walk_batch(build(kind, routes, "wan", rng), routes)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(("hops", "with_peers"), PATHS)
def test_one_row_more_than_a_chunk(hops, with_peers, geometry):
    """C takes BATCH_MAX / max(hops, 2) rows at a time."""
    rng = np.random.default_rng(hops)
    n = BATCH_MAX // max(hops, 2) + 1
    kind = KINDS[(hops + with_peers) % len(KINDS)]
    routes = random_routes(rng, n, hops, with_peers, one_path=True)
    walk_batch(build(kind, routes, geometry, rng), routes)


@pytest.mark.parametrize(("n", "hops"), [(1, 1), (1, 6), (5, 3), (128, 2), (300, 4)])
def test_secrets_are_wiped(n, hops):
    routes = random_routes(np.random.default_rng(n), n, hops, False)
    faults, publics = np.zeros(n, np.uint8), np.ascontiguousarray(routes.publics)
    route = _build.Route(publics, routes.targets, None, Action.DELIVER_REQUEST, None, _build.Seed(), None, faults)
    data, packets = np.ones((n, WAN.data_size), np.uint8), np.zeros((n, WAN.packet_size), np.uint8)
    assert _build.scratch_is_wiped(route, data, packets)
    assert packets.any(axis=1).all()
