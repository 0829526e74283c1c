"""What a running node signs with, and its audit log: opened once, and again by the next control without a file."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fastmix.config import MixnodeConfig
from fastmix.control.identity import NodeIdentity
from fastmix.errors import KeyStoreError
from fastmix.plan import NetworkPlan, plan_network
from fastmix.seam.memory import Region, create_memory, kept_sections

LAYERS = [[("127.0.0.1", 1)], [("127.0.0.1", 2)], [("127.0.0.1", 3)]]


def memory() -> Region:
    return Region(create_memory("fastmix-test", kept_sections()), kept_sections())


def written(tmp_path: Path, *, rotates: bool) -> tuple[NetworkPlan, MixnodeConfig]:
    plan = plan_network(LAYERS, 1, rotates=rotates).write(tmp_path / "network")
    secret = plan.secret_path(tmp_path / "network", 1)
    return plan, MixnodeConfig(number=1, network=plan.network.path, secret_file=secret, state_dir=tmp_path)


def test_the_next_control_signs_without_a_file(tmp_path: Path) -> None:
    plan, config = written(tmp_path, rotates=True)
    kept = memory()
    first = NodeIdentity(config, plan.network, kept)
    first.audit.append("root", "keys.rotate")
    first.close()
    config.secret_file.unlink()
    second = NodeIdentity(config, plan.network, kept)
    Ed25519PublicKey.from_public_bytes(plan.network.node(1).identity).verify(second.sign(b"words"), b"words")
    assert second.public == plan.network.node(1).identity
    assert second.problem() is None
    assert second.audit.append("root", "keys.rotate").n == 2
    second.close()


def test_a_node_without_an_identity_has_a_log(tmp_path: Path) -> None:
    plan, config = written(tmp_path, rotates=False)
    kept = memory()
    for n in (1, 2):
        identity = NodeIdentity(config, plan.network, kept)
        assert identity.public == plan.network.node(1).sphinx_public
        assert identity.audit.append("root", "drain").n == n
        with pytest.raises(KeyStoreError, match="has no identity"):
            identity.sign(b"words")
        identity.close()
    other = NodeIdentity(config, plan.network, memory())
    other.audit.check()
    other.close()
    assert config.secret_file.with_name("node-1.audit").exists()
