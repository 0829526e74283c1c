"""The chain of a node's mix keys: where its configuration puts it."""

from pathlib import Path

from fastmix.config import MixnodeConfig
from fastmix.keys.chainfile import ChainFile, chain_path
from fastmix.keys.tpm import DEVICE, NvPlaces, nv_index

LOCK_PATIENCE_S = 3.0
"""So long a predecessor may take to let go of it."""


def open_chain(config: MixnodeConfig, identity: bytes, first_slot: int) -> tuple[ChainFile, bool]:
    """The chain, and whether it was made just now, from that slot on. Raises as `ChainFile.open` and `create`."""
    path, places = chain_files(config, identity)
    found = ChainFile.open(path, places, LOCK_PATIENCE_S)
    return found or ChainFile.create(path, first_slot, places, LOCK_PATIENCE_S), found is None


def check_chain(config: MixnodeConfig, identity: bytes) -> None:
    """`KeyStoreError` where a start could not open what is there. Changes nothing, whether the node runs or not."""
    path, places = chain_files(config, identity)
    ChainFile.look(path, places)


def chain_files(config: MixnodeConfig, identity: bytes) -> tuple[Path, NvPlaces | None]:
    """The state's path, and where its wrapping keys are if not in the file beside it.

    `identity`: the node's public key, 32 bytes.
    """
    assert config.keys is not None  # `check_keys`
    assert config.identity is not None
    path = chain_path(config.keys.chain, config.identity.store.parent, config.state_dir)
    index, tpm = nv_index(identity), config.identity.tpm or DEVICE
    return path.with_name(f"{path.name}-{config.number}"), NvPlaces(index, tcti=tpm) if config.keys.chain == "tpm" else None
