"""Groups a batch by the link over which it leaves. Road: shuffle → **here** → link seal.

Pure integer work on public values. A group keeps the order that was drawn, and groups stand in the order of their first packet,
so grouping adds nothing to what the shuffle decided.
"""

import numpy as np
import numpy.typing as npt

from fastmix.kernels.jit import njit

LINKS = 1 << 16
"""Values that the `link` column can hold."""


@njit(cache=True)
def _group(
    slots: npt.NDArray[np.uint32],
    link: npt.NDArray[np.uint16],
    group_of: npt.NDArray[np.int32],
    order: npt.NDArray[np.uint32],
    links: npt.NDArray[np.uint16],
    starts: npt.NDArray[np.int64],
) -> int:
    """Writes order, links, starts; `group_of` i32[65536] is all -1 before and after. Returns the number of groups."""
    n_groups = 0
    for i in range(len(slots)):
        name = link[slots[i]]
        if group_of[name] < 0:
            group_of[name] = n_groups
            links[n_groups] = name
            n_groups += 1
            starts[n_groups] = 0
        starts[group_of[name] + 1] += 1
    starts[0] = 0
    for group in range(n_groups):
        starts[group + 1] += starts[group]
    for i in range(len(slots) - 1, -1, -1):  # from the end, so that starts[g + 1] counts down to the group's own start
        group = group_of[link[slots[i]]]
        starts[group + 1] -= 1
        order[starts[group + 1]] = slots[i]
    for group in range(n_groups):
        starts[group] = starts[group + 1]
        group_of[links[group]] = -1
    starts[n_groups] = len(slots)
    return n_groups


_group_of = np.full(LINKS, -1, dtype=np.int32)


def by_link(
    slots: npt.NDArray[np.uint32], link: npt.NDArray[np.uint16]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
    """Groups `slots` u32[m] by `link` u16[n_slots] (indexed by slot), stable: (order u32[m], links u16[g], starts i64[g + 1]).

    The slots of `links[i]` are `order[starts[i]:starts[i + 1]]`. One thread only (the mixer): the table of groups is shared
    between calls.
    """
    order = np.empty(len(slots), dtype=np.uint32)
    links = np.empty(len(slots), dtype=np.uint16)
    starts = np.empty(len(slots) + 1, dtype=np.int64)
    n_groups = _group(slots, link, _group_of, order, links, starts)
    return order, links[:n_groups], starts[: n_groups + 1]
