"""Keys of a running node: renewed, burnt, listed, their policy set, over its control socket, under traffic."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import fastmix_command
import pytest
from real_node import RealNode, Zygote, until
from rotating_node import TIMES, RotatingNode

from fastmix.control.ask import ask
from fastmix.descriptor import Descriptor, read_descriptor
from fastmix.errors import ConfigError
from fastmix.keys.audit import head_path
from fastmix.seam.pair import open_pair, pair_files


@pytest.fixture
def node(zygote: Zygote, tmp_path: Path) -> Iterator[RotatingNode]:
    made = RotatingNode(tmp_path, zygote)
    try:
        made.start()
        yield made
    finally:
        made.end()


def descriptor(node: RotatingNode) -> Descriptor:
    of = node.plan.network.node(1)
    return read_descriptor(node.plan.network.path.parent / of.descriptor, 1, of.identity, node.now_ns())


def records(node: RealNode) -> list[dict[str, object]]:
    """Of the node's audit log."""
    (path,) = (head.with_suffix("") for head in node.folder.rglob("*.audit.head"))
    assert head_path(path).exists()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_renewed_chain_loses_no_packet(node: RotatingNode) -> None:
    """From two slots on all keys are new; packets are built by what the descriptor says, before and after."""
    node.flow(1)
    before, slot = descriptor(node), TIMES.number(node.now_ns())
    first = node.ask("rotate_keys")["first_slot"]
    assert first >= slot + 2
    after = descriptor(node)
    same = [after.public(slot) == public for slot, public in enumerate(before.publics, before.first_slot) if after.public(slot)]
    assert same == [slot < first for slot in range(after.first_slot, after.first_slot + len(same))]
    node.flow(60, lambda: TIMES.number(node.now_ns()) >= first + 1)
    node.settle(node.sent)
    metrics = until(node.metrics)
    assert (metrics.forwarded, metrics.dropped_total) == (node.sent, 0)
    acts = [(record["action"], record.get("outcome"), record.get("role")) for record in records(node)]
    assert [act for act in acts if act[0] == "rotate_keys"] == [("rotate_keys", way, "admin") for way in ("begun", "done")]
    assert ("keys.chain", None, None) in acts
    assert ("keys.slot", None, None) in acts


def test_burnt_keys_are_gone_at_once(node: RotatingNode) -> None:
    """What was built for them is dropped and counted; what is built for the new ones comes through."""
    node.flow(1)
    node.settle(node.sent)
    held = {path: open_pair(path) for path in pair_files(node.state_dir)}
    stale = node.wave()
    assert node.ask("rotate_keys", compromised=True)["first_slot"] <= TIMES.number(node.now_ns())
    assert not any(pair.secret.any() for pair in held.values())
    assert not set(held) & set(pair_files(node.state_dir))
    before = until(node.metrics)
    node.send_wave(stale)
    node.settle(node.sent)
    after = until(node.metrics)
    assert after.forwarded == before.forwarded
    assert sum(after.dropped[label] - before.dropped[label] for label in ("drop_mac", "drop_key_slot")) == len(stale.onward)
    until(lambda: node.ask("keys")["slots"][0]["state"] != "coming")
    fresh = node.wave()
    until(lambda: (node.send_wave(fresh), node.receive() > before.forwarded)[1])
    assert until(node.metrics).conservation == 0


def test_a_list_of_keys(node: RotatingNode) -> None:
    node.flow(0.5)
    node.settle(node.sent)
    found = node.ask("keys")
    told = descriptor(node)
    assert [slot["public"] for slot in found["slots"]] == [public.hex() for public in told.publics][-len(found["slots"]) :]
    states = [slot["state"] for slot in found["slots"]]
    assert states == sorted(states, key=["late", "now", "early", "coming"].index)
    assert "now" in states
    assert any(slot["replay_fill_percent"] > 0 for slot in found["slots"])
    assert found["clock"] == {"parted_ns": 0, "held_ns": 0}
    secrets = [bytes(open_pair(path).secret).hex() for path in pair_files(node.state_dir)]
    assert not [secret for secret in secrets if secret in json.dumps(found)]


def test_a_policy_of_a_running_node(node: RotatingNode) -> None:
    """In force at once, also for the next control; slots are the network's."""
    before = descriptor(node)
    assert node.ask("set_key_rotation_policy", policy={"interval": "2min", "backup_keys": 5})["interval"] == "2min"
    after = descriptor(node)
    assert len(after.publics) > len(before.publics) + 25
    for policy, why in (
        ({"slot": "3s"}, "slot = 3s: this node's network has slot = 2s"),
        ({"overlap_period": "3min"}, "longer than the interval"),
        ({"intervall": "1h"}, "did you mean 'interval'"),
        ({"interval": "soon"}, "interval = 'soon'"),
        ({"backup_keys": -1}, "backup_keys = -1"),
        ({"backup_keys": int("9" * 4300)}, "backup_keys = that is not a number of keys"),
        ([], "is not a table"),
    ):
        with pytest.raises(ConfigError, match=why):
            ask(node.state_dir, "set_key_rotation_policy", policy=policy)
    old = node.signal(signal.SIGKILL, "control")
    until(lambda: node.child("control") not in (0, old) and node.state() == "running")
    policy = until(lambda: isinstance(found := node.ask("keys"), dict) and found["policy"])
    assert (policy["interval"], policy["overlap_period"], policy["backup_keys"]) == ("2min", "10s", 5)


def fastmix(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return fastmix_command.fastmix(*arguments, COLUMNS="150")


def test_commands(node: RotatingNode) -> None:
    listed = fastmix("keys", "list", node.state_dir)
    assert listed.returncode == 0, listed
    assert listed.stdout.startswith("slot ")
    assert " now " in listed.stdout
    rotated = fastmix("keys", "rotate", node.state_dir)
    assert "is the first with a key of the new chain" in rotated.stdout, rotated
    assert json.loads(fastmix("keys", "rotate", node.state_dir, "--compromised", "--json").stdout)["first_slot"]
    assert "interval        1min" in fastmix("keys", "policy", node.state_dir).stdout
    assert json.loads(fastmix("keys", "policy", node.state_dir, "--backup-keys", "9", "--json").stdout)["backup_keys"] == 9
    wrong = fastmix("keys", "policy", node.state_dir, "--overlap-period", "2h")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "longer than the interval" in wrong.stderr
    assert fastmix("keys", "clock", node.state_dir, "--confirm").stdout == "keys go by the wall clock\n"
    gone = fastmix("keys", "list", node.folder)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "start it: fastmix run" in gone.stderr


def test_keys_without_an_end_do_not_rotate(start) -> None:
    node = start()
    for op in ("rotate_keys", "set_key_rotation_policy", "confirm_clock", "keys"):
        with pytest.raises(ConfigError, match="which do not rotate: make a network whose keys do"):
            ask(node.state_dir, op)
    failed = [record for record in records(node) if record.get("outcome") == "failed"]
    assert [record["action"] for record in failed] == ["rotate_keys", "set_key_rotation_policy", "confirm_clock"]
    assert "do not rotate" in str(failed[0]["error"])


def test_what_cannot_be_recorded_is_not_done(node: RotatingNode) -> None:
    """Someone has changed a line of the log: no key is rotated by hand, and health says why. The keys' own rotation goes on."""
    until(lambda: len(records(node)) > 2)
    (head,) = node.folder.rglob("*.audit.head")
    path = head.with_suffix("")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"keys.slot"', b'"keys.sloth"', 1))
    assert "was changed" in node.ask("rotate_keys")
    assert "audit" in [issue["name"] for issue in until(lambda: node.ask("health"))["issues"]]
    before = TIMES.number(node.now_ns())
    node.flow(60, lambda: TIMES.number(node.now_ns()) >= before + 2)
    node.settle(node.sent)
    assert until(node.metrics).forwarded == node.sent
    assert node.ask("stop") is True
    node.ended()
