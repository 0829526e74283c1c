"""Real nodes whose store is kept by a real token or chip (SoftHSM2, swtpm): with it, without it, and what they say then."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from real_node import until
from run_rotating import CommandNode
from secrets_of_tests import locked
from tokens import PIN, SOFTHSM, TOKEN, new_token, software_tpm

from fastmix.cli.main import main
from fastmix.descriptor import read_descriptor
from fastmix.errors import FastmixError
from fastmix.files.temporary import FleetingDirectory
from fastmix.keys.pkcs11 import Pkcs11Wrapping
from fastmix.keys.store import create_store
from fastmix.keys.tpm import TpmWrapping
from fastmix.keys.wrapping import Wrapping
from fastmix.seam.pair import open_pair, pair_files

pytestmark = pytest.mark.tokens


@pytest.fixture
def directory() -> Iterator[Path]:
    with FleetingDirectory("fastmix-test-", 1 << 20) as made:
        yield made


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh token; the directory that it lies in."""
    for name, value in new_token(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "tokens"


@pytest.fixture
def at_token(directory: Path, token: Path) -> Iterator[CommandNode]:
    """A node whose store is kept by the token; not started yet."""
    pin = directory / "pin"
    pin.write_text(PIN)
    pin.chmod(0o600)
    table = {"pkcs11_module": str(SOFTHSM), "pkcs11_token": TOKEN, "passphrase_file": str(pin)}
    node = CommandNode(directory, identity=table)
    keep(node, Pkcs11Wrapping(SOFTHSM, TOKEN, lambda: locked(PIN.encode())))
    try:
        yield node
    finally:
        node.kill()


def keep(node: CommandNode, wrapping: Wrapping) -> None:
    """The node's store anew, under another keeper."""
    node.store.unlink()
    create_store(node.store, node.plan.identities[0], wrapping)


def described(node: CommandNode) -> int:
    """Until when the descriptor is good, which the node has signed; 0: there is none."""
    try:
        return read_descriptor(node.descriptor, 0, node.plan.identities[0].public, time.time_ns()).valid_until_ns
    except FastmixError:
        return 0


def chains(node: CommandNode) -> set[bytes]:
    """Of the pairs that are whole."""
    found = set()
    for path in pair_files(node.state_dir):
        with suppress(FastmixError, OSError):
            found.add(open_pair(path).chain_id)
    return found


def goes_on(node: CommandNode) -> None:
    """Keys of new slots are made and used."""
    began = max(node.slots(), default=0)
    until(lambda: node.state() == "running" and max(node.slots(), default=0) > began + 1)


def test_a_token_taken_away_and_put_back(at_token: CommandNode, token: Path) -> None:
    """The node goes on, over a kill of control as well; health says so in some seconds, and what is published lasts."""
    node = at_token
    node.start()
    until(lambda: described(node))
    assert not node.issues()
    away = token.rename(token.with_name("away"))
    token.mkdir()
    status, said = until(lambda: node.issues().get("identity"))
    assert (status, f"token '{TOKEN}' is not there" in said, "what is published lasts to" in said) == ("degraded", True, True)
    goes_on(node)
    node.kill_control()
    until(lambda: "identity" in node.issues())
    goes_on(node)
    node.descriptor.unlink()
    node.kill_control()
    until(lambda: node.issues().get("identity", ("",))[0] == "unhealthy")  # no descriptor, and nothing to sign one with
    token.rmdir()
    away.rename(token)
    until(lambda: described(node) and not node.issues())
    assert main(["health", str(node.state_dir)]) == 0
    assert "Traceback" not in node.log.read_text()
    assert PIN not in node.log.read_text()


def test_a_start_without_its_token(at_token: CommandNode, token: Path) -> None:
    """Refused by name, or degraded to what is published, as configured."""
    node = at_token
    node.start()
    until(lambda: described(node))
    node.kill()
    away = token.rename(token.with_name("away"))
    token.mkdir()
    for words in ((), ("--check",)):
        assert f"token '{TOKEN}' is not there: insert it" in node.refused(*words)
    config = node.config.read_text()
    node.config.write_text(config.replace("[identity]\n", '[identity]\nwithout_token = "degrade"\n'))
    good_until = described(node)
    node.start()
    status, said = until(lambda: node.issues().get("identity"))
    assert (status, "what is published lasts to" in said) == ("degraded", True)
    goes_on(node)
    assert described(node) == good_until
    token.rmdir()
    away.rename(token)
    until(lambda: not node.issues())


def test_a_wrong_pin(at_token: CommandNode) -> None:
    """Asked once: tries are few."""
    node = at_token
    (node.directory / "pin").write_text("0000")
    for without_token in ("refuse", "degrade"):
        text = node.config.read_text().replace("[identity]\n", f'[identity]\nwithout_token = "{without_token}"\n')
        node.config.with_name("other.toml").write_text(text)
        node.config = node.config.with_name("other.toml")
        said = node.refused()
        assert said.count(f"wrong PIN of token '{TOKEN}'") == 1
        node.config = node.config.with_name("node.toml")


def test_a_tpm_keeps_store_and_chain(directory: Path, tmp_path: Path) -> None:
    """The chain's wrapping key is in NV: kept over a kill of everything, and no file has it. Without the chip no key is made."""
    keys = {"chain": "tpm", "interval": "10min"}
    node = CommandNode(directory)
    try:
        with software_tpm(tmp_path / "tpm") as tcti:
            node.write_config({"passphrase_file": None, "tpm": tcti}, keys)
            keep(node, TpmWrapping(tcti=tcti))
            node.start()
            until(lambda: described(node))
            goes_on(node)
            assert not list(node.directory.rglob("*.wrap"))
            before = until(lambda: chains(node))
            node.kill()
            node.start()
            goes_on(node)
            assert until(lambda: chains(node)) == before, "the chain goes on"
            assert not node.issues()
        until(lambda: {"identity", "keys"} <= set(node.issues()))
        assert node.state() == "running"
        assert node.process
        os.kill(node.process.pid, signal.SIGTERM)
        assert node.process.wait(30) == 0
        said = node.refused()
        assert f"TPM {tcti}: is not there" in said
    finally:
        node.kill()
