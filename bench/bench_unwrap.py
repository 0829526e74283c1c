"""Unwrapping: `fastmix.sphinx.unwrap` in batches against one packet at a time. See README.md."""

import numpy as np
import oracle
import pytest
from measure import BATCH, Compare

from fastmix import sphinx
from fastmix.packet.geometry import geometry_named


@pytest.mark.parametrize("geometry", ["wan", "jumbo"])
def bench_unwrap(compare: Compare, geometry: str) -> None:
    """The first of two hops: the packet is forwarded, with every byte of header and payload made anew."""
    secrets, publics = sphinx.keypairs(2)
    data = np.zeros((BATCH, geometry_named(geometry).data_size), np.uint8)
    routes = np.broadcast_to(publics, (BATCH, 2, 32)).copy()
    packets = sphinx.build_requests(data, routes, np.full((BATCH, 1), 7, np.uint16), geometry=geometry)
    secret, singles = secrets[0].tobytes(), [row.tobytes() for row in packets]

    out = sphinx.unwrap(packets, secrets[0], geometry=geometry)
    assert not out.verdict.any()
    assert [row.tobytes() for row in out.packets] == [oracle.unwrap(packet, secret, geometry).packet for packet in singles]

    compare(
        lambda: sphinx.unwrap(packets, secrets[0], geometry=geometry),
        lambda: [oracle.unwrap(packet, secret, geometry) for packet in singles],
    )
