"""How much of the order of arrival is left in the order of departure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SETS_MAX = 400
"""So many moments are looked at, at most."""
SET_MIN = 3
"""Fewer packets at a time have no order to speak of."""

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Order:
    """`correlation`: Spearman's, over packets that were in the node together: 1 if the first in is the first out, 0 if by lot.

    `n_packets` were matched; `n_sets` moments looked at, with `mean_set` packets in the node each.
    """

    correlation: float
    n_packets: int
    n_sets: int
    mean_set: float


def compare(arrived: Positions, left: Positions) -> Order:
    """Positions i64[n] of n packets' arrivals and departures in one sequence of events."""
    by_arrival = np.argsort(arrived, kind="stable")
    arrived, left = arrived[by_arrival], left[by_arrival]
    weighted, weight = 0.0, 0
    sizes: list[int] = []
    moment = int(arrived[0]) if len(arrived) else 0
    while len(arrived) and moment < arrived[-1] and len(sizes) < SETS_MAX:
        inside = left[: int(np.searchsorted(arrived, moment, "right"))]
        inside = inside[inside > moment]
        if len(inside) >= SET_MIN:
            weighted += spearman(inside) * (len(inside) - 1)
            weight += len(inside) - 1
            sizes.append(len(inside))
            moment = int(np.median(inside))
        else:
            moment = int(arrived[np.searchsorted(arrived, moment, "right")])
    return Order(weighted / weight if weight else 0.0, len(arrived), len(sizes), float(np.mean(sizes)) if sizes else 0.0)


def spearman(left: Positions) -> float:
    """Rank correlation of the order 0, 1, 2, … with distinct positions i64[n], n ≥ 2."""
    n = len(left)
    difference = np.argsort(np.argsort(left)) - np.arange(n)
    return 1.0 - 6.0 * float(np.sum(difference**2)) / (n * (n * n - 1))
