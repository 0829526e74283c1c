"""The mixing pool. Road: unwrap → **here** → shuffle → grouping by link → link seal.

All waiting packets of a node, as dense columns over slot numbers; packets do not move. There is one pool for all workers:
splitting it would split the anonymity set. The strategy names candidates; the pool keeps the floor, bounds batch and latency,
and draws the order. Everything is allocated at the start.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.dataplane.containment import Contained
from fastmix.dataplane.entropy import Entropy
from fastmix.kernels import deadlines
from fastmix.kernels.deadlines import BELOW_FLOOR, COUNTED, NEVER, PENDING, RESIDENTS, STAYS
from fastmix.mixing.limits import MixingLimits
from fastmix.mixing.rules import class_rules
from fastmix.mixing.strategy import MixingStrategy, PoolView

type_slots = npt.NDArray[np.uint32]
INGRESS_LINKS = 1 << 16
HELD_NS = 20_000_000
"""A packet that leaves so long after its deadline, or later, was held back by the floor."""
_COLUMNS = {"arrival_ns": np.int64, "deadline_ns": np.int64, "class_": np.uint8, "ingress": np.uint16}


class Pool:
    """The packets that wait. `columns`: slot columns by name (`arrival_ns`, `deadline_ns`, `class_`, `ingress` of
    `SLOT_COLUMNS`), read when a slot is added. At most `capacity` packets; `entropy` defaults to a stream from the kernel.
    `ConfigError` for a strategy that cannot be used.

    Counters: `arrivals`, `departures`, `released_below_floor`, `strategy_faults`, `strategy_ns`, `strategy_max_ns`.
    """

    _bound_ns: int
    _due_asked_ns: int
    _due_ns: int | None
    _view: PoolView | None

    def __init__(
        self,
        columns: Mapping[str, npt.NDArray[Any]],
        strategy: MixingStrategy,
        limits: MixingLimits,
        capacity: int,
        classes: int = 1,
        entropy: Entropy | None = None,
    ) -> None:
        self.capacity = capacity
        self.classes = classes
        self.arrivals = 0
        self.departures = 0
        self._source = [_column(columns, name) for name in _COLUMNS]
        self._entropy = entropy or Entropy()
        self._allocate(capacity)
        self._faults_before = self._ns_before = self._max_ns_before = 0
        self._drain_end_ns: int | None = None
        self._take(Contained(strategy), limits)

    def __len__(self) -> int:
        """How many packets wait."""
        return int(self._tally[RESIDENTS])

    @property
    def room(self) -> int:
        """How many more fit."""
        return self.capacity - len(self)

    @property
    def limits(self) -> MixingLimits:
        """The node's limits in force."""
        return self._limits

    @property
    def strategy(self) -> MixingStrategy:
        """The strategy in force."""
        return self._contained.strategy

    @property
    def counted(self) -> int:
        """How many packets count for the floor: of each ingress link up to its share, and all of the node's own."""
        return int(self._tally[COUNTED])

    @property
    def spare(self) -> int:
        """How many could leave now without going below the floor."""
        return max(len(self) - self._limits.floor, 0) if self.counted >= self._limits.floor else 0

    def missing(self, now_ns: int) -> int:
        """How many residents the floor lacks: to be met at all, and for those to leave whose packets it holds back; 0 in a
        drain."""
        floor = 0 if self.draining else self._limits.floor
        return int(deadlines.missing_residents(
            self._deadline, self._ingress, len(self), now_ns, HELD_NS, floor, self._link_cap, self._stays, self._tally
        ))  # fmt: skip

    @property
    def draining(self) -> bool:
        """True from `drain` on."""
        return self._drain_end_ns is not None

    @property
    def released_below_floor(self) -> int:
        """Packets that reached `max_latency` and left although the floor was not met."""
        return int(self._tally[BELOW_FLOOR])

    @property
    def strategy_faults(self) -> int:
        """Answers of strategies that were refused."""
        return self._faults_before + self._contained.faults

    @property
    def strategy_ns(self) -> int:
        """Time spent in strategies, ns."""
        return self._ns_before + self._contained.strategy_ns

    @property
    def strategy_max_ns(self) -> int:
        """The longest that a strategy took for one answer, ns."""
        return max(self._max_ns_before, self._contained.strategy_max_ns)

    def add(self, slots: type_slots) -> None:
        """Takes in `slots` u32[m]. `ValueError` if they do not fit (ask `room` first) or a number is no slot; then none is
        taken.
        """
        n = len(slots)
        if n > self.room:
            raise ValueError(f"{n} slots do not fit into a pool with room for {self.room}")
        self._came[:n] = slots
        arrival, deadline, class_, ingress = self._source
        earliest = deadlines.admit(
            self._came, n, arrival, deadline, class_, ingress, *self._residents, self._mark,
            self._per_link, self._link_cap, self._tally, self._max_latency, self._from_deadline,
        )  # fmt: skip
        if earliest < 0:
            raise ValueError(f"slot {slots[-1 - earliest]} is none: the columns have {len(self._source[0])} rows")
        self._bound_ns = min(self._bound_ns, earliest)
        self.arrivals += n
        self._view = self._due_ns = None

    def next_due_ns(self, now_ns: int) -> int:
        """When `release` should be called next (ns; at or before `now_ns`: at once), or NEVER as long as nothing is added."""
        if self._tally[PENDING]:
            return now_ns
        due_ns = min(self._bound_ns, max(self._ask_due_ns(now_ns), self._asked_ns + self._limits.tick_ns))
        return due_ns if self._drain_end_ns is None or not len(self) else min(due_ns, self._drain_end_ns)

    def release(self, now_ns: int) -> type_slots:
        """Those who leave now, u32[k], in drawn order; they are no longer in the pool. At most `max_batch_size` of each class."""
        n_selected = 0
        if not self._tally[PENDING]:
            if max(self._ask_due_ns(now_ns), self._asked_ns + self._limits.tick_ns) <= now_ns:
                n_selected = self._select(now_ns)
            if not n_selected and now_ns < self._bound_ns:
                return self._nobody
        n_leaving = self._choose(now_ns, n_selected)
        out = np.empty(n_leaving, dtype=np.uint32)
        deadlines.take_out(self._leaving, n_leaving, out, *self._residents, self._mark, self._tally)
        self._entropy.shuffle(out)
        self.departures += n_leaving
        self._view = self._due_ns = None
        return out

    def configure(self, strategy: MixingStrategy, limits: MixingLimits) -> None:
        """Another strategy, other limits, on the running pool; no packet is lost. `ConfigError`: nothing has changed."""
        contained = self._contained if strategy is self._contained.strategy else Contained(strategy)
        before = self._contained
        self._take(contained, limits)
        if contained is not before:
            self._faults_before += before.faults
            self._ns_before += before.strategy_ns
            self._max_ns_before = max(self._max_ns_before, before.strategy_max_ns)

    def drain(self, deadline_ns: int) -> None:
        """From now on the strategy is not asked. Packets leave at their own deadlines under the floor's rule, or, where the
        strategy keeps no deadlines, at arrival + `max_latency`: never early. `next_due_ns` also names `deadline_ns`, when the
        caller takes the rest with `drop_all`.
        """
        self._drain_end_ns = deadline_ns
        self._forget_selection()

    def drop_all(self) -> type_slots:
        """Empties the pool and returns its slots u32[n], in no particular order."""
        slots = self._slots[: len(self)].copy()
        self._tally[[RESIDENTS, COUNTED]] = 0
        self._per_link[:] = 0
        self._bound_ns = NEVER
        self.departures += len(slots)
        self._forget_selection()
        return slots

    def _allocate(self, capacity: int) -> None:
        """The residents' columns, and room for every kernel's answer."""
        self._slots = np.zeros(capacity, dtype=np.uint32)
        self._arrival, self._deadline = np.zeros(capacity, dtype=np.int64), np.zeros(capacity, dtype=np.int64)
        self._class, self._ingress = np.zeros(capacity, dtype=np.uint8), np.zeros(capacity, dtype=np.uint16)
        self._residents = (self._slots, self._arrival, self._deadline, self._class, self._ingress)
        self._mark = np.zeros(capacity, dtype=np.uint8)
        self._shown = [_read_only(column) for column in (self._arrival, self._deadline, self._class)]
        self._came, self._overdue, self._selected, self._leaving = (np.zeros(capacity, dtype=np.uint32) for _ in range(4))
        self._found = np.zeros(3, dtype=np.int64)
        self._tally = np.zeros(4, dtype=np.int64)
        self._per_link, self._stays = (np.zeros(INGRESS_LINKS, dtype=np.int64) for _ in range(2))
        self._nobody = _read_only(np.empty(0, dtype=np.uint32))
        self._bound_ns = NEVER
        self._view = self._due_ns = None

    def _take(self, contained: Contained, limits: MixingLimits) -> None:
        of_class = class_rules(contained.strategy, limits, self.classes)
        self._contained, self._limits, self._link_cap = contained, limits, limits.link_cap
        self._max_latency = np.array([each.max_latency_ns for each, _ in of_class], dtype=np.int64)
        self._max_batch = np.array([each.max_batch_size for each, _ in of_class], dtype=np.int64)
        self._draw = sum(self._max_batch.tolist())
        self._from_deadline = np.array([keeps for _, keeps in of_class], dtype=np.uint8)
        self._every_class = np.ones(self.classes, dtype=np.uint8)
        self._asked_ns = -limits.tick_ns
        self._forget_selection()
        deadlines.recount(self._ingress, len(self), self._per_link, self._link_cap, self._tally)
        self._bound_ns = deadlines.earliest_bound(
            self._arrival, self._deadline, self._class, len(self), self._max_latency, self._from_deadline
        )

    def _forget_selection(self) -> None:
        self._mark[:] = STAYS
        self._tally[PENDING] = 0
        self._view = self._due_ns = None

    def _look(self) -> PoolView:
        if self._view is None:
            n = len(self)
            arrival, deadline, class_ = (column[:n] for column in self._shown)
            self._view = PoolView(arrival, deadline, class_, self._limits, self.spare, self.arrivals)
        return self._view

    def _ask_due_ns(self, now_ns: int) -> int:
        """The strategy's `due_ns`, asked again only when the pool has changed or its time has come."""
        if self._due_ns is None or self._due_asked_ns < self._due_ns <= now_ns:
            self._due_asked_ns = now_ns
            due_ns = None if self.draining or not len(self) else self._contained.due_ns(self._look(), now_ns)
            self._due_ns = self._default_due_ns() if due_ns is None else due_ns
        return self._due_ns

    def _default_due_ns(self) -> int:
        """Poisson's rule, for a strategy that failed; in a drain only for classes that keep deadlines."""
        if not self.spare:
            return NEVER
        classes = self._from_deadline if self.draining else self._every_class
        return int(deadlines.earliest_deadline(self._deadline, self._class, len(self), classes))

    def _select(self, now_ns: int) -> int:
        """Marks the candidates; returns how many."""
        self._asked_ns = now_ns
        if self.draining:
            return self._select_due(now_ns, self._from_deadline)
        selection = self._contained.select(self._look(), now_ns)
        self._due_ns = None
        if selection is not None:
            n_selected = deadlines.mark_selection(selection, self._mark, len(self), self._selected)
            if n_selected >= 0:
                return int(n_selected)
            self._contained.count_fault("select named a position out of range or twice")
        return self._select_due(now_ns, self._every_class)

    def _select_due(self, now_ns: int, classes: npt.NDArray[np.uint8]) -> int:
        """Poisson's rule for these classes."""
        n = deadlines.mark_due(self._deadline, self._class, self._mark, len(self), classes, now_ns, self._selected)
        return int(n)

    def _choose(self, now_ns: int, n_selected: int) -> int:
        """Lets candidates leave in drawn order, the overdue ones first; writes positions to `_leaving` and returns how many."""
        n_overdue = 0
        if self._tally[PENDING] or now_ns >= self._bound_ns:
            deadlines.gather(
                self._arrival, self._deadline, self._class, self._mark, len(self), self._max_latency, self._from_deadline,
                now_ns, self._overdue, self._selected, self._found,
            )  # fmt: skip
            n_overdue, n_selected, self._bound_ns = self._found.tolist()
        batch_left = self._max_batch.copy()
        self._tally[PENDING] = 0
        n_leaving = self._depart(self._overdue, n_overdue, batch_left, 0)
        n_leaving = self._depart(self._selected, n_selected, batch_left, n_leaving)
        if self._tally[PENDING]:
            self._bound_ns = min(self._bound_ns, now_ns)
        return n_leaving

    def _depart(self, candidates: type_slots, n: int, batch_left: npt.NDArray[np.int64], n_leaving: int) -> int:
        """Draws from `candidates[:n]` as many as batches can hold and lets them leave; returns how many leave so far."""
        if not n:
            return n_leaving
        begin = max(n - self._draw, 0)
        self._entropy.shuffle(candidates[:n], self._draw)
        if begin:
            self._tally[PENDING] = 1
        return int(deadlines.depart(
            candidates, begin, n, self._limits.floor, self._link_cap, self._class, self._ingress, self._mark,
            self._per_link, self._tally, batch_left, self._leaving, n_leaving,
        ))  # fmt: skip


def _column(columns: Mapping[str, npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    column, dtype = columns[name], np.dtype(_COLUMNS[name])
    if column.dtype != dtype or column.ndim != 1 or not column.flags.c_contiguous or not column.flags.writeable:
        shape = list(column.shape)
        raise TypeError(f"column {name} is {column.dtype}{shape}: it must be a writeable, contiguous {dtype}[slots]")
    return column


def _read_only(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    shown = column.view()
    shown.flags.writeable = False
    return shown
