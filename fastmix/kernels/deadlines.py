"""The pool's residents: who came, who is due, who may leave, who stays. Road: unwrap → **here** → shuffle.

Pure integer work on public values: no clock, no randomness. The residents are dense columns: position 0 to n - 1 hold a packet
each, in no order that means anything; a leaving packet's place is taken by one from the end.
"""

import numpy as np
import numpy.typing as npt

from fastmix.kernels.jit import njit
from fastmix.packet.slots import OWN

NEVER = (1 << 63) - 1
"""A time that does not come."""
RESIDENTS, COUNTED, BELOW_FLOOR, PENDING = range(4)
"""Places in `tally` i64[4]: packets in the pool; those that count for the floor; released below it (ever); 1 if a batch was cut
short.
"""
STAYS, SELECTED, OVERDUE, LEAVES = range(4)
"""Values of `mark`."""

type_u8 = npt.NDArray[np.uint8]
type_u16 = npt.NDArray[np.uint16]
type_u32 = npt.NDArray[np.uint32]
type_i64 = npt.NDArray[np.int64]


@njit(cache=True)
def admit(
    came: type_u32, n_came: int,
    all_arrival: type_i64, all_deadline: type_i64, all_class: type_u8, all_ingress: type_u16,
    slots: type_u32, arrival: type_i64, deadline: type_i64, class_: type_u8, ingress: type_u16, mark: type_u8,
    per_link: type_i64, link_cap: int, tally: type_i64, max_latency: type_i64, from_deadline: type_u8,
) -> int:  # fmt: skip
    """Copies the slots `came[:n_came]` from the slot columns to the residents' end. Returns the earliest time at which one of
    them must leave (ns), or -1 - i if `came[i]` is no slot (nothing is then admitted). A class beyond the last counts as the
    last.
    """
    for i in range(n_came):
        if came[i] >= len(all_arrival):
            return -1 - i
    n = tally[RESIDENTS]
    earliest = NEVER
    for i in range(n_came):
        slot = came[i]
        c = int(all_class[slot])
        if c >= len(max_latency):
            c = len(max_latency) - 1
        slots[n] = slot
        arrival[n] = all_arrival[slot]
        deadline[n] = all_deadline[slot]
        class_[n] = c
        ingress[n] = all_ingress[slot]
        mark[n] = STAYS
        origin = deadline[n] if from_deadline[c] else arrival[n]
        earliest = min(earliest, origin + max_latency[c])
        per_link[ingress[n]] += 1
        if per_link[ingress[n]] <= link_cap or ingress[n] == OWN:
            tally[COUNTED] += 1
        n += 1
    tally[RESIDENTS] = n
    return earliest


@njit(cache=True)
def recount(ingress: type_u16, n: int, per_link: type_i64, link_cap: int, tally: type_i64) -> None:
    """Counts anew, under another `link_cap`, how many residents count for the floor. The node's own all do: nobody else can
    make them."""
    per_link[:] = 0
    counted = 0
    for i in range(n):
        per_link[ingress[i]] += 1
        if per_link[ingress[i]] <= link_cap or ingress[i] == OWN:
            counted += 1
    tally[COUNTED] = counted


@njit(cache=True)
def missing_residents(
    deadline: type_i64,
    ingress: type_u16,
    n: int,
    now_ns: int,
    held_ns: int,
    floor: int,
    link_cap: int,
    stays: type_i64,
    tally: type_i64,
) -> int:
    """How many residents more the floor needs: so that it is met, and where somebody's packet is due since `held_ns` or longer,
    so that all that are due may leave at once and it is met behind them. `stays` i64[links]: zeros, and left so.
    """
    waits = False
    counted = 0
    for i in range(n):
        if deadline[i] <= now_ns:
            waits = waits or (ingress[i] != OWN and now_ns - deadline[i] >= held_ns)
            continue
        stays[ingress[i]] += 1
        if stays[ingress[i]] <= link_cap or ingress[i] == OWN:
            counted += 1
    for i in range(n):
        stays[ingress[i]] = 0
    return max(floor - (counted if waits else tally[COUNTED]), 0)


@njit(cache=True)
def earliest_bound(
    arrival: type_i64, deadline: type_i64, class_: type_u8, n: int, max_latency: type_i64, from_deadline: type_u8
) -> int:
    """The earliest time at which a resident must leave, floor or not (ns); NEVER for an empty pool."""
    earliest = NEVER
    for i in range(n):
        c = class_[i]
        earliest = min(earliest, (deadline[i] if from_deadline[c] else arrival[i]) + max_latency[c])
    return earliest


@njit(cache=True)
def earliest_deadline(deadline: type_i64, class_: type_u8, n: int, classes: type_u8) -> int:
    """The earliest deadline (ns) among residents whose class has `classes[class] != 0`, or NEVER."""
    earliest = NEVER
    for i in range(n):
        if classes[class_[i]]:
            earliest = min(earliest, deadline[i])
    return earliest


@njit(cache=True)
def mark_due(
    deadline: type_i64, class_: type_u8, mark: type_u8, n: int, classes: type_u8, now_ns: int, selected: type_u32
) -> int:
    """Selects the residents whose deadline has come, of the classes with `classes[class] != 0`: marks them, writes their
    positions to `selected` and returns how many they are.
    """
    n_due = 0
    for i in range(n):
        if classes[class_[i]] and deadline[i] <= now_ns:
            mark[i] = SELECTED
            selected[n_due] = i
            n_due += 1
    return n_due


@njit(cache=True)
def mark_selection(selection: type_i64, mark: type_u8, n: int, selected: type_u32) -> int:
    """Selects the residents named in `selection`: marks them, copies their positions to `selected` and returns how many they
    are, or -1 if one is out of range or named twice (nothing is then selected).
    """
    for i in range(len(selection)):
        position = selection[i]
        if position < 0 or position >= n or mark[position] == SELECTED:
            for j in range(i):
                mark[selection[j]] = STAYS
            return -1
        mark[position] = SELECTED
        selected[i] = position
    return len(selection)


@njit(cache=True)
def gather(
    arrival: type_i64, deadline: type_i64, class_: type_u8, mark: type_u8, n: int,
    max_latency: type_i64, from_deadline: type_u8, now_ns: int, overdue: type_u32, selected: type_u32, found: type_i64,
) -> None:  # fmt: skip
    """Lists the positions of those that must leave (and marks them OVERDUE) and of those selected; `found` i64[3] = how many of
    each, and the earliest time at which one of the others must leave.
    """
    n_overdue = n_selected = 0
    earliest = NEVER
    for i in range(n):
        c = class_[i]
        bound = (deadline[i] if from_deadline[c] else arrival[i]) + max_latency[c]
        if bound <= now_ns:
            mark[i] = OVERDUE
            overdue[n_overdue] = i
            n_overdue += 1
            continue
        earliest = min(earliest, bound)
        if mark[i] == SELECTED:
            selected[n_selected] = i
            n_selected += 1
    found[0] = n_overdue
    found[1] = n_selected
    found[2] = earliest


@njit(cache=True)
def depart(
    candidates: type_u32, begin: int, end: int, floor: int, link_cap: int,
    class_: type_u8, ingress: type_u16, mark: type_u8, per_link: type_i64, tally: type_i64,
    batch_left: type_i64, leaving: type_u32, n_leaving: int,
) -> int:  # fmt: skip
    """Lets `candidates[begin:end]` (positions, in drawn order) leave one after the other, as far as class's batch and the floor
    allow.

    One that was selected leaves only if `floor` counted packets stay behind; otherwise it stays, unselected. One that is
    overdue leaves in any case and is counted if the floor forbade it, unless it is the node's own, which is nobody's message.
    Where a class's batch (`batch_left` i64[classes]) is full the mark stays, and tally[PENDING] says so. Appends positions to
    `leaving` and returns how many it holds.
    """
    for i in range(begin, end):
        position = candidates[i]
        c = class_[position]
        if batch_left[c] == 0:
            tally[PENDING] = 1
            continue
        own = ingress[position] == OWN
        counts = 1 if own or per_link[ingress[position]] <= link_cap else 0
        if tally[COUNTED] - counts < floor:
            if mark[position] == SELECTED:
                mark[position] = STAYS
                continue
            tally[BELOW_FLOOR] += 0 if own else 1
        batch_left[c] -= 1
        per_link[ingress[position]] -= 1
        tally[COUNTED] -= counts
        mark[position] = LEAVES
        leaving[n_leaving] = position
        n_leaving += 1
    return n_leaving


@njit(cache=True)
def take_out(
    leaving: type_u32, n_leaving: int, out: type_u32,
    slots: type_u32, arrival: type_i64, deadline: type_i64, class_: type_u8, ingress: type_u16, mark: type_u8, tally: type_i64,
) -> None:  # fmt: skip
    """Writes the slots at `leaving[:n_leaving]` to `out` and closes the gaps with residents from the end."""
    n = tally[RESIDENTS]
    stays = n - n_leaving
    for i in range(n_leaving):
        out[i] = slots[leaving[i]]
    last = n
    for i in range(n_leaving):
        gap = leaving[i]
        if gap >= stays:
            continue
        last -= 1
        while mark[last] == LEAVES:
            last -= 1
        slots[gap] = slots[last]
        arrival[gap] = arrival[last]
        deadline[gap] = deadline[last]
        class_[gap] = class_[last]
        ingress[gap] = ingress[last]
        mark[gap] = mark[last]
    tally[RESIDENTS] = stays
