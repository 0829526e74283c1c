"""`fastmix network new` and `fastmix status`, through the real command."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastmix_command import fastmix
from places import free_places

from fastmix.config import MixnodeConfig
from fastmix.files.addresses import format_address
from fastmix.files.temporary import FleetingDirectory
from fastmix.process.swap import TMPFS, mount_of

WAIT_S = 60


def test_a_new_network_runs_and_answers(tmp_path: Path) -> None:
    net = tmp_path / "net"
    places = [format_address(place) for place in free_places(3)]
    layers = [word for at, place in enumerate(places, 1) for word in (f"--layer{at}", place)]
    made = fastmix("network", "new", net, *layers, "--clients", 1, "--classes", 2, "--geometry", "jumbo")
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("fastmix run") == 3
    checked = json.loads(fastmix("network", "check", net / "network.toml", "--json").stdout)
    assert (checked["geometry"], checked["classes"], len(checked["nodes"]), len(checked["clients"])) == ("jumbo", 2, 3, 1)
    config = net / "node-0.toml"
    assert 'state_dir = "state-0"' in config.read_text()
    assert fastmix("run", "--check", config).returncode == 0
    assert "profile small-host  4096\n" in fastmix("run", "--check", config, "--profile", "small-host").stdout
    wrong = fastmix("run", config, "--profile", "smal-host")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "known are low-latency, many-peers, multi-threaded" in wrong.stderr
    config.write_text(config.read_text() + 'isa = "portable"\n')
    profile = "small-host"
    command = [sys.executable, "-m", "fastmix", "run", "--profile", profile, str(config)]
    node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert node.stdout is not None
    try:
        assert node.stdout.readline() == f"mix-000 is ready on {places[0]}; Ctrl-C drains it\n"
        told = json.loads(fastmix("status", config, "--json").stdout)
        assert (told["status"]["state"], told["metrics"]["conservation"]) == ("running", "exact")
        assert 0 < told["status"]["uptime"] < WAIT_S
        assert told["status"]["unwraps_per_s"] == told["metrics"]["unwraps_per_s"] > 500
        assert (told["status"]["isa"], told["status"]["profile"], told["status"]["load_percent"]) == ("portable", profile, 0.0)
        settings = json.loads(fastmix("status", config, "--settings", "--json").stdout)
        assert settings["pool_slots"] == {"value": 4096, "from": "profile small-host"}
        assert settings["number"] == {"value": 0, "from": "file"}
        assert [settings[name]["value"] for name in ("cores", "nap", "allow_swap", "listen_addr")] == [[], "1ms", False, None]
        rows = {line.split()[0]: line.split()[-1] for line in fastmix("status", config, "--settings").stdout.splitlines()}
        assert (rows["cores"], rows["nap"], rows["allow_swap"], rows["listen_addr"]) == ("[]", '"1ms"', "false", "set")
        assert fastmix("status", net / "state-0").stdout.split()[-2:] == ["conservation", "exact"]
    finally:
        node.terminate()
        node.stdout.close()
        assert node.wait(WAIT_S) == 0
    for command in ("status", "health"):
        ended = fastmix(command, config).stderr
        assert "no node answers" in ended
        assert ended.endswith(f": start it: fastmix run {config}\n")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--layer1", "192.0.2.1:9", "--layer2", "192.0.2.2:9"], "--layer3 is missing: name the nodes of all three layers"),
        (["--layer3", "192.0.2.3:9"], "--layer1 and --layer2 are missing: name"),
        (
            ["--layer1", "127.0.0.1:9", "--layer2", "nowhere", "--layer3", "127.0.0.1:8"],
            "--layer2 nowhere: an address is not an IP address and a port",
        ),
        (["--mean-delay", "soon"], "--mean-delay 'soon'"),
        (["--passphrase-file", "one"], "a network has with --slot: add it"),
        (["--classes", "3"], "classes"),
        (["--mean-delay", "2h"], "no network was made: "),
        (["--layer1", "127.0.0.1:9", "--layer2", "127.0.0.1:9", "--layer3", "127.0.0.1:8"], "no network was made: "),
    ],
)
def test_wrong_options(tmp_path: Path, args: list[str], told: str) -> None:
    done = fastmix("network", "new", tmp_path / "net", *args)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "net").exists()


def test_the_network_file_is_no_nodes(tmp_path: Path) -> None:
    net = tmp_path / "net"
    assert fastmix("network", "new", net).returncode == 0
    done = fastmix("run", net / "network.toml")
    names = ", ".join(str(net / f"node-{number}.toml") for number in range(6))
    told = f"fastmix: {net / 'network.toml'}: is a network file, not a node's configuration: name one of {names}\n"
    assert (done.returncode, done.stderr) == (2, told)
    for path in net.glob("node-*.toml"):
        path.unlink()
    assert "name the file that has secret_file" in fastmix("run", net / "network.toml").stderr


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory, where state directories of keys that rotate may be."""
    with FleetingDirectory("fastmix-test-", 1 << 20) as directory:
        yield directory


def test_a_network_with_identities(memory: Path) -> None:
    """Each store has a passphrase of its own, which its node's configuration names; the audit log begins with its making."""
    net = memory / "net"
    made = fastmix("network", "new", net, "--slot", "10min", "--clients", 1)
    assert made.returncode == 0, made.stderr
    config, store = net / "node-0.toml", net / "secrets" / "node-0.keys"
    assert 'state_dir = "state-0"' in config.read_text()
    assert "secret_file" not in config.read_text()
    assert not (net / "secrets" / "node-0").exists()
    assert fastmix("run", "--check", config).returncode == 0
    passphrases = {path.read_text() for path in net.glob("secrets/*.passphrase")}
    assert (len(passphrases), {len(text) for text in passphrases}) == (6, {32})
    words = ("--passphrase-file", store.with_suffix(".passphrase"), "--json")
    assert json.loads(fastmix("keys", "audit", store, *words).stdout)["records"] == 1
    identity = json.loads(fastmix("keys", "verify", store, *words).stdout)["identity"]
    assert f'identity = "{identity}"' in (net / "network.toml").read_text()


def test_replay_sets_of_long_slots_are_as_large_as_they_may_be(memory: Path) -> None:
    """A slot of 8 days at 5,000 packets a second would have more packets than any replay set takes."""
    assert fastmix("network", "new", memory / "net", "--slot", "8d", "--clients", 0).returncode == 0
    found = MixnodeConfig.load(memory / "net" / "node-0.toml")
    assert found.replay_capacity == 1 << 32


def test_a_network_with_identities_under_one_passphrase(tmp_path: Path) -> None:
    file, net = tmp_path / "passphrase", tmp_path / "net"
    file.write_text("correct horse")
    file.chmod(0o644)
    refused = fastmix("network", "new", net, "--slot", "10min", "--passphrase-file", file)
    assert (refused.returncode, f"chmod 600 {file}" in refused.stderr, net.exists()) == (78, True, False), refused
    assert refused.stderr.startswith("fastmix: no network was made: ")
    file.chmod(0o600)
    places = [word for layer in (1, 2, 3) for word in (f"--layer{layer}", f"192.0.2.{layer}:9000")]
    assert fastmix("network", "new", net, *places, "--slot", "10min", "--passphrase-file", file).returncode == 0
    config = (net / "node-0.toml").read_text()
    assert "passphrase_file" not in config
    assert ('state_dir = "/dev/shm/fastmix-' in config) == (mount_of(tmp_path)[0] not in TMPFS)
    assert not list(net.glob("secrets/*.passphrase"))
    assert fastmix("keys", "verify", net / "secrets" / "node-2.keys", "--passphrase-file", file).returncode == 0


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    done = fastmix("network", "new", tmp_path)
    assert (done.returncode, "exists already" in done.stderr) == (2, True)
    assert not list(tmp_path.iterdir())


def test_output_that_cannot_be_written() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "fastmix", "explain", "--all"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "fastmix: the output cannot be written: No space left on device\n"
