"""What a machine can do: measured quickly, and told by a running node."""

import time

import pytest

from fastmix.kernels.isa import supported
from fastmix.packet.geometry import GEOMETRIES
from fastmix.tune.capacity import unwraps_per_s


@pytest.mark.parametrize("isa", supported())
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=lambda geometry: geometry.name)
def test_a_core_is_measured_in_a_moment(isa: str, geometry: object) -> None:
    start = time.process_time()
    rate = unwraps_per_s(geometry, isa)
    assert time.process_time() - start < 0.25
    assert 500 < rate < 1_000_000


def test_small_batches_are_slower() -> None:
    """One at a time no kernel is quicker than in batches, beyond noise."""
    wan = GEOMETRIES["wan"]
    assert unwraps_per_s(wan, None, 1) < 1.5 * unwraps_per_s(wan, None, 64)
