"""From a configuration to the strategy and limits that the data plane is given, pickled."""

import pickle

from fastmix.config import TICK_SHARE, MixingConfig
from fastmix.errors import ConfigError
from fastmix.mixing import MixingLimits, MixingStrategy, resolve
from fastmix.mixing.rules import class_rules
from fastmix.network import Network

TICK_LEAST_NS, TICK_MOST_NS = 50_000, 10_000_000
TICK_AT_ONCE_NS = 500_000
"""Without delays there is nothing to be exact about. A look costs some 50 us of CPU time, whatever it finds: at 50,000 packets a
second that is 2 us for each of the 25 that come meanwhile."""


def tick_of(mean_delay_ns: int) -> int:
    """Time between two looks at the pool, in ns: at most 2 % of the mean delay, for so much the mixer may add to it."""
    return min(max(mean_delay_ns // TICK_SHARE, TICK_LEAST_NS), TICK_MOST_NS) if mean_delay_ns else TICK_AT_ONCE_NS


def mixing_blob(mixing: MixingConfig, network: Network, number: int) -> bytes:
    """The pickled (strategy, limits) of a node. `ConfigError` where the strategy cannot be made or does not pickle."""
    strategy = resolve(mixing.strategy, **mixing.parameters)
    limits = MixingLimits(**mixing.limits, upstreams=upstreams_of(network, number), tick_ns=tick_of(network.mean_delay_ns))
    class_rules(strategy, limits, network.classes)
    try:
        blob = pickle.dumps((strategy, limits))
        pickle.loads(blob)
    except Exception as error:  # pickling runs the strategy's own code
        raise unpicklable(strategy, str(error)) from None
    return blob


def upstreams_of(network: Network, number: int) -> int:
    """How many links packets come from: all of them, for a packet may name any way along links."""
    return len(network.neighbours(number))


def unpicklable(strategy: MixingStrategy, reason: str) -> ConfigError:
    """The error that names the other way."""
    name = type(strategy).__name__
    return ConfigError(
        f"mixing strategy {name} cannot be sent to the node's process ({reason}): put the class into a module "
        f'and name it by its import path, strategy = "package.module:{name}"'
    )
