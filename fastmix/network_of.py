"""The network of a node's configuration: that of its network file, or, of a node that joins one, itself alone.

A node that joins learns from the directory who else there is; until then, and for all that concerns only itself, its network is
one node, number 0, whose descriptor lies beside the identity's store.
"""

from fastmix.config import MixnodeConfig
from fastmix.files.addresses import parse_address
from fastmix.files.durations import duration_ns
from fastmix.keys.store import read_store
from fastmix.network import LAYERS, Network, Node
from fastmix.packet.geometry import GEOMETRIES


def network_of(config: MixnodeConfig) -> Network:
    """`ConfigError` where the network file is wrong, `KeyStoreError` where the store of a node that joins is."""
    if config.network is not None:
        return Network.load(config.network)
    assert config.join is not None  # the model has checked all three
    assert config.identity is not None
    assert config.listen_addr is not None
    store = config.identity.store
    node = Node(
        config.number, LAYERS[0], parse_address(config.listen_addr), identity=read_store(store).public,
        descriptor=f"{store.name}.descriptor",
    )  # fmt: skip
    geometry = GEOMETRIES[config.join.geometry]
    return Network(geometry, duration_ns(config.join.mean_delay), config.join.classes, (node,), path=store)
