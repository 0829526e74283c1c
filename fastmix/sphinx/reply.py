"""Replies: made of SURBs by whoever holds them, opened by the SURBs' maker."""

import numpy as np
import numpy.typing as npt

from fastmix.kernels import _build
from fastmix.packet.geometry import MAX_HOPS, PAYLOAD_KEY_SIZE, SURB_SIZE, Geometry, geometry_named
from fastmix.sphinx.arrays import Bytes, Indices, checked

__all__ = ["build_replies", "open_replies"]


def build_replies(
    data: Bytes, surbs: Bytes, *, geometry: str | Geometry = "wan", entropy: bytes | None = None
) -> tuple[Indices, Bytes]:
    """`(first u16[n], packets u8[n, P])`: replies with `data` u8[n, D], and the mixnode index to which each is sent.

    `surbs` u8[n, 222] come from strangers: their contents are not judged, and `first` may be an index that does not exist. A SURB
    serves once: a second reply over it is a replay at its first hop. Nothing random is drawn; `entropy` is there because every
    builder has it.
    """
    chosen = geometry_named(geometry)
    n = checked("surbs", surbs, np.uint8, "n", SURB_SIZE).shape[0]
    surbs = checked("surbs", surbs, np.uint8, n, SURB_SIZE)
    data = checked("data", data, np.uint8, n, chosen.data_size)
    packets = np.empty((n, chosen.packet_size), np.uint8)
    _build.build_replies(data, surbs, packets)
    first = surbs[:, 0].astype(np.uint16) | surbs[:, 1].astype(np.uint16) << np.uint16(8)
    return first, packets


def open_replies(payloads: Bytes, keys: Bytes, *, geometry: str | Geometry = "wan") -> tuple[npt.NDArray[np.bool_], Bytes]:
    """`(ok bool[n], data u8[n, D])` of the payload fields u8[n, D+16] of delivered replies.

    `keys` u8[n, h, 192] are those of the reply's SURB, found by its id. Where the payload was changed on the way, or the keys are
    another SURB's, `ok` is False and the row zero.
    """
    chosen = geometry_named(geometry)
    n, hops, _ = checked("keys", keys, np.uint8, "n", "h", PAYLOAD_KEY_SIZE).shape
    if not 1 <= hops <= MAX_HOPS:
        raise ValueError(f"keys must be u8[n, h, {PAYLOAD_KEY_SIZE}] with h = 1 to {MAX_HOPS} hops; h is {hops}")
    plain = checked("payloads", payloads, np.uint8, n, chosen.payload_size).copy()
    ok = np.empty(n, np.uint8)
    _build.open_replies(plain, np.ascontiguousarray(keys), ok)
    return ok.view(np.bool_), np.ascontiguousarray(plain[:, : chosen.data_size])
