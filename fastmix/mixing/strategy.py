"""The strategy interface: when the pool is asked, and who may leave.

A strategy sees times, counts and classes, never bytes, senders or next hops. It names candidates; the framework keeps the
floor, cuts the batch, and draws the order. It runs between two kernels: it must not block, and its time is measured.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastmix.mixing.limits import MixingLimits

NEVER = (1 << 63) - 1
"""The answer of `due_ns` when only more packets would change it."""
EMPTY: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
"""The answer of `select` that means: not yet."""
EMPTY.flags.writeable = False


class PoolView:
    """The pool as a strategy sees it; position i of each column is one packet, in no order that means anything. Read only, and
    only valid during the call.

    `arrival_ns` i64[n], `deadline_ns` i64[n] (arrival + the delay that the packet asks for), `class_` u8[n]; `spare`: how many
    could leave now without going below the floor; `arrivals`: packets that ever came; `min_batch_size`, `max_batch_size`,
    `max_latency_ns`, `floor`: as in `MixingLimits`.
    """

    __slots__ = (
        "arrival_ns", "arrivals", "class_", "deadline_ns", "floor", "max_batch_size", "max_latency_ns", "min_batch_size", "spare",
    )  # fmt: skip

    def __init__(
        self,
        arrival_ns: npt.NDArray[np.int64],
        deadline_ns: npt.NDArray[np.int64],
        class_: npt.NDArray[np.uint8],
        limits: MixingLimits,
        spare: int,
        arrivals: int,
    ) -> None:
        self.arrival_ns = arrival_ns
        self.deadline_ns = deadline_ns
        self.class_ = class_
        self.spare = spare
        self.arrivals = arrivals
        self.min_batch_size = limits.min_batch_size
        self.max_batch_size = limits.max_batch_size
        self.max_latency_ns = limits.max_latency_ns
        self.floor = limits.floor

    def __len__(self) -> int:
        """How many packets wait."""
        return len(self.arrival_ns)

    @property
    def oldest_ns(self) -> int:
        """The earliest arrival, or NEVER."""
        return int(self.arrival_ns.min()) if len(self.arrival_ns) else NEVER

    def part(self, positions: npt.NDArray[np.int64], limits: MixingLimits) -> "PoolView":
        """These packets alone, under `limits`."""
        columns = (column[positions] for column in (self.arrival_ns, self.deadline_ns, self.class_))
        arrival, deadline, class_ = (_closed(column) for column in columns)
        return PoolView(arrival, deadline, class_, limits, min(len(positions), self.spare), self.arrivals)

    def everyone(self) -> npt.NDArray[np.int64]:
        """All positions: a flush. The floor decides by lot who stays."""
        return np.arange(len(self.arrival_ns))


class MixingStrategy(ABC):
    """Decides when the pool is asked and who may leave.

    `Timed`, `Size` (also `Threshold`), `Adaptive`, `Priority` and `Poisson` name the strategies that come with fastmix.
    """

    Timed: ClassVar["type[MixingStrategy]"]
    Size: ClassVar["type[MixingStrategy]"]
    Threshold: ClassVar["type[MixingStrategy]"]
    Adaptive: ClassVar["type[MixingStrategy]"]
    Priority: ClassVar["type[MixingStrategy]"]
    Poisson: ClassVar["type[MixingStrategy]"]

    keeps_deadlines: bool = False
    """True if packets leave at the deadline that they ask for: then `max_latency` counts from the deadline, not from the
    arrival.
    """

    @abstractmethod
    def due_ns(self, pool: PoolView, now_ns: int) -> int:
        """When `select` should next be called (ns, the node's clock), as far as this pool tells; NEVER if only more packets can
        bring it about.
        """

    @abstractmethod
    def select(self, pool: PoolView, now_ns: int) -> npt.NDArray[np.int64]:
        """Positions of those that may leave now, each once, in any order; EMPTY for not yet. Called at or after `due_ns`.

        Those that the floor holds back are free again; more than `max_batch_size` leave as several batches before the next call.
        """

    def prepare(self, classes: int) -> None:  # noqa: B027 - most strategies have nothing to prepare
        """Called when a pool of `classes` priority classes takes the strategy; may raise `ConfigError`."""

    def limits_of(self, class_: int, limits: MixingLimits) -> MixingLimits:
        """The limits of one class, made from the node's. Only batch sizes and latency may differ."""
        return limits

    def keeps_deadlines_of(self, class_: int) -> bool:
        """`keeps_deadlines` of one class."""
        return self.keeps_deadlines


def _closed(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    column.flags.writeable = False
    return column
