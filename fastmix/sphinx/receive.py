"""Taking one layer off packets: what a hop does, and what the last one learns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.kernels import _unwrap
from fastmix.packet.geometry import Geometry, geometry_named
from fastmix.sphinx.arrays import Bytes, Indices, checked, checked_key

__all__ = ["NO_REPLAY_KEY", "Unwrapped", "unwrap"]

NO_REPLAY_KEY = bytes(32)
"""The key of replay tags if none is given. A node that keeps a replay set should draw one, so that nobody can choose tags."""


@dataclass(frozen=True, slots=True, eq=False)
class Unwrapped:
    """What a hop learns from n packets, one row each. A row whose verdict is not `Verdict.OK` (0) is zero in all other arrays."""

    verdict: Bytes
    """u8[n]: values of `Verdict`."""
    action: Indices
    """u16[n]: the format's code: below 0xff00 forward to the mixnode of that index, else a `fastmix.packet.geometry.Action`."""
    next_index: Indices
    """u16[n]: the next hop's mixnode index; 0 where the action is not of that kind."""
    peer_id: Bytes
    """u8[n, 32]: the next hop, where the action is 0xff00, forward to a peer id."""
    surb_id: Bytes
    """u8[n, 16]: the id of a delivered reply's SURB, or of a cover packet with an id."""
    delay: npt.NDArray[np.float64]
    """f8[n]: exponential with mean 1, at most 10: how long to hold a packet that is forwarded, in the network's mean delays."""
    tag: Bytes
    """u8[n, 16]: replay tag. A packet whose tag was seen before, under the same secret and replay key, is to be dropped."""
    packets: Bytes
    """u8[n, P]: the next hop's packet; for a delivery the payload field (D + 16 bytes) and zeros; for a cover packet zeros."""


def unwrap(
    packets: Bytes,
    secret: bytes | Bytes,
    *,
    geometry: str | Geometry = "wan",
    replay_key: bytes | Bytes = NO_REPLAY_KEY,
    strict_kx: bool = False,
) -> Unwrapped:
    """Unwraps `packets` u8[n, P] with one node's `secret` (32 bytes, as bytes or u8[32]).

    `replay_key` (32 bytes) keys the tags; by default it is 32 zero bytes, the same for everyone. No packet is judged a replay
    here: the caller compares tags.

    `strict_kx`: a packet whose `kx_public` is outside the prime-order subgroup is `Verdict.DROP_KX_SUBGROUP`. No builder makes
    one; someone on the way can, from any packet, and only the next hop would drop it.
    """
    size = geometry_named(geometry).packet_size
    packets = checked("packets", packets, np.uint8, "n", size)
    columns: dict[str, Any] = _unwrap.unwrap_batch(
        packets, checked_key("secret", secret), checked_key("replay_key", replay_key), strict_kx=strict_kx
    )
    return Unwrapped(**columns)
