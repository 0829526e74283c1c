"""What a node's configuration and its network file must agree on before the node may start."""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fastmix.config import MixnodeConfig
from fastmix.errors import ConfigError
from fastmix.files.durations import duration_ns
from fastmix.keys.store import read_store
from fastmix.network import Network, end_name

HOPS = 3


def check_keys(network: Network, config: MixnodeConfig) -> None:
    """`ConfigError` where the two do not agree on how keys live and who the node is, `KeyStoreError` where its store is damaged.

    Nothing is decrypted.
    """
    if network.rotates:
        _check_rotating(network, config)
        return
    for name in ("keys", "identity"):
        if getattr(config, name) is not None:
            raise ConfigError(
                f"{network.path}: its nodes have keys without an end: remove the [{name}] table of the configuration"
            )


def _check_rotating(network: Network, config: MixnodeConfig) -> None:
    rotates = f"{network.path}: its nodes have identities, so keys rotate"
    if config.secret_file is not None:
        raise ConfigError(f"{rotates}: remove secret_file = {config.secret_file} and name the identity's store in [identity]")
    if config.keys is None:
        raise ConfigError(f"{rotates}: add a [keys] table to the configuration")
    config.keys.policy.check(HOPS, network.mean_delay_ns, duration_ns(config.mixing.max_latency))
    assert config.identity is not None  # a configuration has one of the two
    public, wanted = read_store(config.identity.store).public, network.node(config.number).identity
    if public != wanted:
        raise ConfigError(
            f"{config.identity.store}: not the store of {end_name(config.number)}: its identity is {public.hex()}, "
            f"but {network.path} has {wanted.hex()}: name the right store, or correct identity"
        )


def check_secret(network: Network, config: MixnodeConfig, secret: bytes) -> None:
    """The secret must be the one whose public half the network file names."""
    if X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw() != network.node(config.number).sphinx_public:
        raise ConfigError(
            f"{config.secret_file}: not the secret of {end_name(config.number)}, whose sphinx_public in {network.path} is "
            "another: name the right file, or put the new public key into the network file of all nodes"
        )
