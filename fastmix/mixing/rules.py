"""What a strategy makes of the node's limits, class by class; checked before it is used."""

from fastmix.errors import ConfigError
from fastmix.mixing.limits import MixingLimits
from fastmix.mixing.strategy import MixingStrategy


def class_rules(strategy: MixingStrategy, limits: MixingLimits, classes: int) -> list[tuple[MixingLimits, bool]]:
    """Prepares `strategy` for `classes` classes; for each, its limits and whether it keeps deadlines.

    `ConfigError` if it is no strategy, fails, or would keep packets longer than the node's `max_latency`.
    """
    name = type(strategy).__name__
    if not isinstance(strategy, MixingStrategy):
        raise ConfigError(f"a mixing strategy is an instance of MixingStrategy, not {name}")
    try:
        strategy.prepare(classes)
        rules = [(strategy.limits_of(c, limits), bool(strategy.keeps_deadlines_of(c))) for c in range(classes)]
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"mixing strategy {name} cannot be used: {error}") from error
    for class_, (of_class, _) in enumerate(rules):
        if not isinstance(of_class, MixingLimits):
            raise ConfigError(f"mixing strategy {name}: limits_of({class_}) is {type(of_class).__name__}, not MixingLimits")
        if of_class.max_latency_ns > limits.max_latency_ns:
            longer, node = of_class.max_latency_ns, limits.max_latency_ns
            text = f"max_latency of class {class_} is {longer} ns, the node's {node} ns"
            raise ConfigError(f"{text}: lower it or raise the node's")
    return rules
