"""How many packets one core of this machine unwraps: measured, in some 30 ms, with keys made for it."""

import time

import numpy as np

from fastmix.kernels._unwrap import Unwrap, columns_for
from fastmix.packet.geometry import Geometry
from fastmix.sphinx import build_requests, keypairs

BATCH = 64
"""Packets of one call; more bring little."""
DISTINCT = 8
"""So many are built. The kernels take the same time for any packet, so copies of them fill the batch."""
ROUNDS_LEAST = 3
ENOUGH_NS = 15_000_000
"""CPU time after which the quickest round counts."""


def unwraps_per_s(geometry: Geometry, isa: str | None = None, batch: int = BATCH, *, strict_kx: bool = False) -> int:
    """Packets a second that one core unwraps in batches: a whole forwarding, without link frames, replay set and sockets.

    `isa`: by default the kernels in use; `strict_kx`: as in a node's configuration. CPU time is counted, of the quickest round,
    so that a busy machine hardly changes it.
    """
    secrets, publics = keypairs(2)
    packets = _packets(publics, geometry, batch)
    rows, columns, slots = np.zeros_like(packets), columns_for(batch), np.arange(batch, dtype=np.uint32)
    kernel = Unwrap(rows, columns, geometry.packet_size, secrets[0].tobytes(), bytes(32), 0, isa, strict_kx)
    took: list[int] = []
    while len(took) < ROUNDS_LEAST or sum(took) < ENOUGH_NS:
        rows[:] = packets
        start_ns = time.thread_time_ns()
        kernel.check(slots)
        kernel.apply(slots)
        took.append(time.thread_time_ns() - start_ns)
        if columns["verdict"].any():
            raise RuntimeError(f"self-made packets are refused with verdicts {np.unique(columns['verdict'])}")
    return int(batch * 1e9 / max(min(took), 1))


def _packets(publics: np.ndarray, geometry: Geometry, batch: int) -> np.ndarray:
    """u8[batch, P]: packets that the first hop forwards."""
    n = min(DISTINCT, batch)
    data = np.zeros((n, geometry.data_size), np.uint8)
    built = build_requests(data, np.tile(publics, (n, 1, 1)), np.zeros((n, 1), np.uint16), geometry=geometry.name)
    return np.tile(built, (-(-batch // n), 1))[:batch]
