"""A node's configuration: models of its tables, with an error for every wrong value that names it and says what to write."""

from fastmix.config.mixnode import TICK_SHARE, MixnodeConfig, check_node_settings, pool_room
from fastmix.config.tables import ClassConfig, CoverConfig, IdentityConfig, KeysConfig, MixingConfig
from fastmix.config.types import STRATEGIES

__all__ = [
    "STRATEGIES", "TICK_SHARE", "ClassConfig", "CoverConfig", "IdentityConfig", "KeysConfig", "MixingConfig", "MixnodeConfig",
    "check_node_settings", "pool_room",
]  # fmt: skip
