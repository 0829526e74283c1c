"""Building requests of four hops: `fastmix.sphinx.build_requests` in batches of 256 against one packet at a time."""

import numpy as np
import oracle
import pytest
from measure import BATCH, Compare

from fastmix import sphinx
from fastmix.packet.geometry import geometry_named

N_HOPS = 4


@pytest.mark.parametrize("geometry", ["wan", "jumbo"])
def bench_build_requests(compare: Compare, geometry: str) -> None:
    """Both builders' packets open at the first hop, towards the second."""
    secrets, publics = sphinx.keypairs(N_HOPS)
    data = np.zeros((BATCH, geometry_named(geometry).data_size), np.uint8)
    routes = np.broadcast_to(publics, (BATCH, N_HOPS, 32)).copy()
    targets = np.arange(BATCH * (N_HOPS - 1), dtype=np.uint16).reshape(BATCH, N_HOPS - 1)
    keys = [row.tobytes() for row in publics]
    singles = [(row.tobytes(), keys, [int(target) for target in route]) for row, route in zip(data, targets, strict=True)]

    built = sphinx.build_requests(data, routes, targets, geometry=geometry)
    single = np.array([list(oracle.build_request(*words, geometry=geometry)) for words in singles], np.uint8)
    for packets in (built, single):
        out = sphinx.unwrap(packets, secrets[0], geometry=geometry)
        assert not out.verdict.any()
        assert (out.next_index == targets[:, 0]).all()

    compare(
        lambda: sphinx.build_requests(data, routes, targets, geometry=geometry),
        lambda: [oracle.build_request(*words, geometry=geometry) for words in singles],
    )
