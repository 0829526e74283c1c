"""What a running node signs with, and its audit log: opened once, and again by the next control without a file or a question."""

import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fastmix.config import IdentityConfig, KeysConfig, MixnodeConfig
from fastmix.control.identity import NodeIdentity
from fastmix.errors import ConfigError, KeyStoreError
from fastmix.files.secret import write_secret
from fastmix.keys._chain import LockedBytes
from fastmix.keys.passphrase import from_file
from fastmix.keys.store import create_store
from fastmix.keys.wrapping import PassphraseWrapping
from fastmix.plan import RANDOM_COST, NetworkPlan, passphrase_path, plan_network, store_path
from fastmix.seam.memory import Region, create_memory, kept_sections

LAYERS = [[("127.0.0.1", 1)], [("127.0.0.1", 2)], [("127.0.0.1", 3)]]


def memory() -> Region:
    return Region(create_memory("fastmix-test", kept_sections()), kept_sections())


def written(tmp_path: Path) -> tuple[NetworkPlan, MixnodeConfig, Path]:
    """A network whose keys rotate; the configuration of its node 1, and that node's store."""
    plan = plan_network(LAYERS, 1, rotates=True).write(tmp_path / "network")
    store = store_path(tmp_path / "network", 1)
    table = IdentityConfig(store=store, passphrase_file=passphrase_path(store))
    config = MixnodeConfig(number=1, network=plan.network.path, state_dir=tmp_path, identity=table, keys=KeysConfig())
    return plan, config, store


def with_identity(config: MixnodeConfig, **changes: Any) -> MixnodeConfig:
    assert config.identity is not None
    return config.model_copy(update={"identity": config.identity.model_copy(update=changes)})


def check_signs(identity: NodeIdentity, plan: NetworkPlan) -> None:
    Ed25519PublicKey.from_public_bytes(plan.network.node(1).identity).verify(identity.sign(b"words"), b"words")
    assert identity.public == plan.network.node(1).identity


def test_the_next_control_signs_without_a_file(tmp_path: Path) -> None:
    plan, config, store = written(tmp_path)
    kept = memory()
    left = store.with_name(f".{store.name}.1.new")  # by a `keys passwd` that was killed
    left.write_bytes(store.read_bytes())
    first = NodeIdentity(config, plan.network, kept)
    check_signs(first, plan)
    assert not left.exists()
    first.audit.append("root", "keys.rotate")
    first.close()
    passphrase_path(store).unlink()
    whole = store.rename(store.with_name("away"))
    second = NodeIdentity(config, plan.network, kept)
    check_signs(second, plan)
    assert second.audit.append("root", "keys.rotate").n == 3  # the first says that no store was made beside this log
    second.look()
    assert "there is no key store" in str(second.problem())
    whole.rename(store)
    second.look()
    assert second.problem() is None
    second.close()


def test_a_descriptor_is_read_once(tmp_path: Path) -> None:
    """And nothing of the passphrase stays once the seed is there."""
    plan, config, store = written(tmp_path)
    passphrase = passphrase_path(store).read_bytes()
    ours, theirs = os.pipe()
    os.write(theirs, passphrase + b"\n")
    os.close(theirs)
    config, kept = with_identity(config, passphrase_file=None, passphrase_fd=ours), memory()
    for _ in range(2):
        identity = NodeIdentity(config, plan.network, kept)
        check_signs(identity, plan)
        identity.close()
    os.close(ours)
    assert passphrase not in kept.bytes("kept").tobytes()


def test_killed_after_it_asked(tmp_path: Path) -> None:
    """The next control goes on with the answer."""
    plan, config, store = written(tmp_path)
    ours, theirs = os.pipe()
    os.write(theirs, passphrase_path(store).read_bytes())
    os.close(theirs)
    config, kept = with_identity(config, passphrase_file=None, passphrase_fd=ours), memory()
    NodeIdentity(config, plan.network, kept).close()
    answered = memory()
    answered["kept"]["asked"][0, :32] = bytearray(passphrase_path(store).read_bytes())
    answered["kept"]["asked_size"] = 32
    check_signs(NodeIdentity(config, plan.network, answered), plan)
    with pytest.raises(KeyStoreError, match="is empty"):
        NodeIdentity(config, plan.network, memory())
    os.close(ours)


def test_a_node_without_an_identity_has_a_log(tmp_path: Path) -> None:
    plan = plan_network(LAYERS, 1).write(tmp_path / "network")
    secret = plan.secret_path(tmp_path / "network", 1)
    config = MixnodeConfig(number=1, network=plan.network.path, secret_file=secret, state_dir=tmp_path)
    kept = memory()
    for n in (2, 3):
        identity = NodeIdentity(config, plan.network, kept)
        assert identity.public == plan.network.node(1).sphinx_public
        assert identity.audit.append("root", "drain").n == n
        with pytest.raises(KeyStoreError, match="has no identity"):
            identity.sign(b"words")
        identity.look()
        assert identity.problem() is None
        identity.close()
    other = NodeIdentity(config, plan.network, memory())
    other.audit.check()
    other.close()
    assert secret.with_name("node-1.audit").exists()


def test_a_store_that_becomes_anothers(tmp_path: Path) -> None:
    plan, config, store = written(tmp_path)
    identity = NodeIdentity(config, plan.network, memory())
    os.replace(store_path(tmp_path / "network", 2), store)
    identity.look()
    assert "has become the store of another identity" in str(identity.problem())
    check_signs(identity, plan)
    identity.close()


def test_what_does_not_fit_together(tmp_path: Path) -> None:
    plan, config, store = written(tmp_path)
    fixed = plan_network(LAYERS, 1).write(tmp_path / "fixed")
    other = with_identity(config, store=store_path(tmp_path / "network", 2))
    write_secret(tmp_path / "secret", bytes(31) + b"\1")
    secret = {"secret_file": tmp_path / "secret"}
    for network, wrong, told in (
        (plan.network, config.model_copy(update=secret), "remove secret_file = "),
        (plan.network, config.model_copy(update=secret | {"identity": None}), r"name the identity's store in \[identity\]"),
        (plan.network, config.model_copy(update={"keys": None}), r"add a \[keys\] table"),
        (plan.network, other, "not the store of node 1: its identity is"),
        (fixed.network, config, r"keys without an end: remove the \[keys\] table"),
        (fixed.network, config.model_copy(update={"keys": None}), r"remove the \[identity\] table"),
    ):
        with pytest.raises(ConfigError, match=told):
            NodeIdentity(wrong, network, memory())
    with pytest.raises(ConfigError, match=r"secret_file is missing: add it, or, in a network .* an \[identity\] table"):
        MixnodeConfig(number=1, network=plan.network.path, state_dir=tmp_path)
    for table, told in (
        ({"passphrase_file": store, "passphrase_fd": 3}, "passphrase_file and passphrase_fd: give one"),
        ({"pkcs11_module": store}, "pkcs11_token is missing"),
        ({"without_token": "ignore"}, 'is not a choice: write "refuse" or "degrade"'),
        ({"passphrase_fd": -1}, "is too small"),
    ):
        with pytest.raises(ConfigError, match=told):
            IdentityConfig(store=store, **table)


class Switched(PassphraseWrapping):
    """Says that it is a TPM, so that the node looks for one."""

    name = "tpm"  # type: ignore[assignment]


@pytest.mark.parametrize("without_token", ["refuse", "degrade"])
def test_a_chip_that_is_not_there(tmp_path: Path, without_token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, or begun without: then nothing is signed or recorded until the chip is back, though controls change."""
    plan, config, store = written(tmp_path)
    store.unlink()
    wrapping = Switched(lambda: from_file(passphrase_path(store)), RANDOM_COST)
    create_store(store, plan.identities[1], wrapping)
    config, kept = with_identity(config, tpm="swtpm:host=127.0.0.1,port=1", without_token=without_token), memory()
    if without_token == "refuse":
        with pytest.raises(KeyStoreError, match="TPM"):
            NodeIdentity(config, plan.network, kept)
        return
    identity = NodeIdentity(config, plan.network, kept)
    assert "TPM" in str(identity.problem())
    with pytest.raises(KeyStoreError, match="TPM"):
        identity.sign(b"words")
    with pytest.raises(KeyStoreError, match="its key is in the identity's store: "):
        identity.audit.append("root", "keys.rotate")
    identity.close()
    later = NodeIdentity(config, plan.network, kept)
    with pytest.raises(KeyStoreError, match="it has not been opened yet"):
        later.audit.append("root", "keys.rotate")
    monkeypatch.setattr("fastmix.control.identity.wrapping_of", lambda *_: wrapping)
    later.look()
    assert later.problem() is None
    check_signs(later, plan)
    later.audit.append("root", "keys.rotate")
    later.close()
    last = NodeIdentity(config, plan.network, kept)
    last.audit.check()
    last.close()


def test_a_token_that_refuses_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it was away: tries of a PIN are few."""
    plan, config, store = written(tmp_path)
    store.unlink()

    class Token(Switched):
        """Counts; `state` is what it does."""

        state, asked = "works", 0

        def unwrap(self, blob: bytes) -> LockedBytes:
            self.asked += 1
            if self.state == "refuses":
                raise KeyStoreError("wrong PIN")
            return super().unwrap(blob)

        def problem(self) -> str | None:
            return "the token is not there" if self.state == "gone" else None

    token = Token(lambda: from_file(passphrase_path(store)), RANDOM_COST)
    create_store(store, plan.identities[1], token)
    monkeypatch.setattr("fastmix.control.identity.wrapping_of", lambda *_: token)
    identity = NodeIdentity(config, plan.network, memory())
    check_signs(identity, plan)
    token.state, before = "refuses", token.asked
    for _ in range(3):
        with pytest.raises(KeyStoreError, match="wrong PIN"):
            identity.sign(b"words")
        identity.look()
        assert "not tried again" in str(identity.problem())
    assert token.asked == before + 1
    token.state = "gone"
    identity.look()
    assert identity.problem() == "the token is not there"
    token.state = "works"
    identity.look()
    assert identity.problem() is None
    check_signs(identity, plan)
    identity.close()


def test_a_token_that_was_never_named(tmp_path: Path) -> None:
    """The store says what keeps its key; without the words for it the error names the keys of the configuration."""
    plan, config, store = written(tmp_path)
    store.unlink()

    class Kept(PassphraseWrapping):
        name = "pkcs11"  # type: ignore[assignment]

    create_store(store, plan.identities[1], Kept(lambda: from_file(passphrase_path(store)), RANDOM_COST))
    with pytest.raises(ConfigError, match=r"give identity\.pkcs11_module and identity\.pkcs11_token"):
        NodeIdentity(config, plan.network, memory())
