"""Unwrapping: `fastmix.sphinx.unwrap` in batches of 256 against one packet at a time. See bench/README.md."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from measure import BATCH, Compare
from one_at_a_time import unwrap as unwrap_one

from fastmix import sphinx
from fastmix.packet.geometry import geometry_named


@pytest.mark.parametrize("geometry", ["wan", "jumbo"])
def bench_unwrap(compare: Compare, geometry: str) -> None:
    """A packet's second-last hop: it is forwarded, with every byte of header and payload made anew."""
    secrets, publics = sphinx.keypairs(2)
    data = np.zeros((BATCH, geometry_named(geometry).data_size), np.uint8)
    route = np.broadcast_to(publics, (BATCH, 2, 32)).copy()
    packets = sphinx.build_requests(data, route, np.full((BATCH, 1), 7, np.uint16), geometry=geometry)
    secret = secrets[0]
    one = X25519PrivateKey.from_private_bytes(secret.tobytes())
    single = [row.tobytes() for row in packets]

    out = sphinx.unwrap(packets, secret, geometry=geometry)
    assert not out.verdict.any()
    assert [row.tobytes() for row in out.packets] == [unwrap_one(packet, one)[1] for packet in single]

    compare(lambda: sphinx.unwrap(packets, secret, geometry=geometry), lambda: [unwrap_one(packet, one) for packet in single])
