"""fastmix: a high-throughput mix-network node, and the library of its packets.

`fastmix.sphinx` is the batched Sphinx packet format by itself. Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmix.client import Client
    from fastmix.config import MixingConfig, MixnodeConfig
    from fastmix.errors import (
        BatchTimeout,
        ConfigError,
        CryptoError,
        FastmixError,
        KeyRotationFailed,
        NetworkFailure,
        ResourceExhausted,
    )
    from fastmix.keys.policy import KeyRotationPolicy
    from fastmix.mixing import MixingStrategy
    from fastmix.node import Mixnode
    from fastmix.status import Health, HealthIssue, HealthStatus, Metrics, NodeState, NodeStatus

__all__ = [
    "BatchTimeout",
    "Client",
    "ConfigError",
    "CryptoError",
    "FastmixError",
    "Health",
    "HealthIssue",
    "HealthStatus",
    "KeyRotationFailed",
    "KeyRotationPolicy",
    "Metrics",
    "MixingConfig",
    "MixingStrategy",
    "Mixnode",
    "MixnodeConfig",
    "NetworkFailure",
    "NodeState",
    "NodeStatus",
    "ResourceExhausted",
]

_HOMES = {
    "Client": "client",
    "KeyRotationPolicy": "keys.policy",
    "Mixnode": "node",
    "MixingConfig": "config",
    "MixnodeConfig": "config",
    "MixingStrategy": "mixing",
    "Health": "status",
    "HealthIssue": "status",
    "HealthStatus": "status",
    "Metrics": "status",
    "NodeState": "status",
    "NodeStatus": "status",
}


def __getattr__(name: str) -> Any:
    """The public names, each from its home."""
    if name not in __all__:
        raise AttributeError(f"module 'fastmix' has no attribute {name!r}")
    return getattr(import_module(f"fastmix.{_HOMES.get(name, 'errors')}"), name)
