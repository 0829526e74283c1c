"""Priority mixing: each priority class has a strategy and limits of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.errors import ConfigError
from fastmix.mixing.limits import MixingLimits, duration_ns
from fastmix.mixing.poisson import PoissonMix
from fastmix.mixing.strategy import EMPTY, NEVER, MixingStrategy, PoolView


@dataclass(frozen=True, slots=True)
class ClassRule:
    """What one class does: its strategy, and those limits in which it differs from the node's (None: the node's)."""

    strategy: MixingStrategy
    min_batch_size: int | None = None
    max_batch_size: int | None = None
    max_latency: timedelta | str | float | None = None

    def limits(self, limits: MixingLimits) -> MixingLimits:
        """The node's limits with this rule's differences."""
        latency_ns = limits.max_latency_ns
        if self.max_latency is not None:
            latency_ns = duration_ns(self.max_latency, "max_latency of a class")
        return replace(
            limits,
            min_batch_size=self.min_batch_size or limits.min_batch_size,
            max_batch_size=self.max_batch_size or limits.max_batch_size,
            max_latency_ns=latency_ns,
        )


class PriorityMix(MixingStrategy):
    """Class i follows `classes[i]`; classes without a rule are mixed by Poisson. The floor is one for the whole pool: packets
    of all classes are company for each other, for on the wire the classes look alike.
    """

    def __init__(self, classes: Sequence["ClassRule | MixingStrategy | Mapping[str, Any] | str"] = ()) -> None:
        self.rules = [_rule(each) for each in classes]
        self._limits: dict[int, MixingLimits] = {}
        self._seen: PoolView | None = None
        self._parts: list[tuple[ClassRule, npt.NDArray[np.int64], PoolView]] = []

    def prepare(self, classes: int) -> None:
        """Fills up the rules; `ConfigError` if there are more rules than classes."""
        if len(self.rules) > classes:
            rules = len(self.rules)
            raise ConfigError(f"the priority strategy has rules for {rules} classes, the network has {classes}: remove some")
        self.rules += [ClassRule(PoissonMix()) for _ in range(len(self.rules), classes)]
        for rule in self.rules:
            rule.strategy.prepare(classes)

    def limits_of(self, class_: int, limits: MixingLimits) -> MixingLimits:
        """The limits of the class's rule."""
        rule = self.rules[class_]
        self._seen = None
        self._limits[class_] = rule.strategy.limits_of(class_, rule.limits(limits))
        return self._limits[class_]

    def keeps_deadlines_of(self, class_: int) -> bool:
        """As the class's strategy."""
        return self.rules[class_].strategy.keeps_deadlines_of(class_)

    def due_ns(self, pool: PoolView, now_ns: int) -> int:
        """The earliest time that one of the classes names."""
        return min((rule.strategy.due_ns(view, now_ns) for rule, _, view in self._views(pool)), default=NEVER)

    def select(self, pool: PoolView, now_ns: int) -> npt.NDArray[np.int64]:
        """What the classes name that are due."""
        chosen = [
            positions[rule.strategy.select(view, now_ns)]
            for rule, positions, view in self._views(pool)
            if rule.strategy.due_ns(view, now_ns) <= now_ns
        ]
        return np.concatenate(chosen) if chosen else EMPTY

    def _views(self, pool: PoolView) -> list[tuple[ClassRule, npt.NDArray[np.int64], PoolView]]:
        """The classes that have packets: rule, positions in the pool, view of these alone."""
        if pool is not self._seen:
            members = ((rule, np.flatnonzero(pool.class_ == class_)) for class_, rule in enumerate(self.rules))
            of_class = enumerate(members)
            self._parts = [(rule, at, pool.part(at, self._limits[c])) for c, (rule, at) in of_class if len(at)]
            self._seen = pool
        return self._parts


def _rule(given: "ClassRule | MixingStrategy | Mapping[str, Any] | str") -> ClassRule:
    from fastmix.mixing.registry import resolve  # the registry knows this class

    if isinstance(given, ClassRule):
        return given
    if not isinstance(given, Mapping):
        return ClassRule(resolve(given))
    try:
        return ClassRule(**{**given, "strategy": resolve(given.get("strategy", "poisson"))})
    except TypeError as error:
        raise ConfigError(f"a class of the priority strategy is wrong: {error}") from None
