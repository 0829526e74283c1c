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
    """Positions i64[n] of n packets' arrivals and departures in one sequence of events.

    The moments are those of arrivals, evenly spread: a departure tells of a batch that is just leaving.
    """
    by_arrival = np.argsort(arrived, kind="stable")
    arrived, left = arrived[by_arrival], left[by_arrival]
    weighted, weight = 0.0, 0
    sizes: list[int] = []
    for at in range(0, len(arrived), -(-len(arrived) // SETS_MAX) or 1):
        inside = left[: at + 1]
        inside = inside[inside > arrived[at]]
        if len(inside) >= SET_MIN:
            weighted += spearman(inside) * (len(inside) - 1)
            weight += len(inside) - 1
            sizes.append(len(inside))
    return Order(weighted / weight if weight else 0.0, len(arrived), len(sizes), float(np.mean(sizes)) if sizes else 0.0)


def spearman(left: Positions) -> float:
    """Rank correlation of the order 0, 1, 2, … with distinct positions i64[n], n ≥ 2."""
    n = len(left)
    difference = np.argsort(np.argsort(left)) - np.arange(n)
    return 1.0 - 6.0 * float(np.sum(difference**2)) / (n * (n * n - 1))
