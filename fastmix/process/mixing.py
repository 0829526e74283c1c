"""From a configuration to the strategy and limits that the data plane is given, pickled."""

import pickle

from fastmix.config import MixingConfig
from fastmix.errors import ConfigError
from fastmix.files.durations import duration_ns
from fastmix.mixing import ClassRule, MixingLimits, MixingStrategy, resolve
from fastmix.network import Network

TICK_SHARE = 50
"""A tick is at most 2 % of the mean delay: so much the mixer may add to a packet's delay."""
TICK_LEAST_NS, TICK_MOST_NS = 50_000, 10_000_000


def tick_of(mean_delay_ns: int) -> int:
    """Time between two looks at the pool, in ns."""
    return min(max(mean_delay_ns // TICK_SHARE, TICK_LEAST_NS), TICK_MOST_NS)


def mixing_blob(mixing: MixingConfig, network: Network, number: int) -> bytes:
    """The pickled (strategy, limits) of a node. `ConfigError` where the strategy cannot be made or does not pickle."""
    strategy, limits = make_strategy(mixing), make_limits(mixing, network, number)
    try:
        blob = pickle.dumps((strategy, limits))
        pickle.loads(blob)
    except Exception as error:  # pickling runs the strategy's own code
        raise unpicklable(strategy, str(error)) from None
    return blob


def make_strategy(mixing: MixingConfig) -> MixingStrategy:
    """The strategy that the configuration names, with its options or its classes."""
    if not mixing.classes:
        return resolve(mixing.strategy, **mixing.options)
    rules = [
        ClassRule(make_strategy(each), each.min_batch_size, each.max_batch_size, each.max_latency) for each in mixing.classes
    ]
    return resolve(mixing.strategy, classes=rules)


def make_limits(mixing: MixingConfig, network: Network, number: int) -> MixingLimits:
    """The limits of a node at its place in the network."""
    return MixingLimits(
        min_batch_size=mixing.min_batch_size,
        max_batch_size=mixing.max_batch_size,
        max_latency_ns=duration_ns(mixing.max_latency),
        floor=mixing.floor,
        upstreams=upstreams_of(network, number),
        tick_ns=tick_of(network.mean_delay_ns),
    )


def upstreams_of(network: Network, number: int) -> int:
    """How many links packets come from: the layer before and the clients."""
    layer = network.node(number).layer
    return sum(1 for end in network.neighbours(number) if isinstance(end, bytes) or network.node(end).layer < layer)


def unpicklable(strategy: MixingStrategy, reason: str) -> ConfigError:
    """The error that names the other way."""
    name = type(strategy).__name__
    return ConfigError(
        f"mixing strategy {name} cannot be sent to the node's process ({reason}): put the class into a module "
        f'and name it by its import path, strategy = "package.module:{name}"'
    )
