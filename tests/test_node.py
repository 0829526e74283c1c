"""`Mixnode`: a real node, started, asked and stopped from a program."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from places import config_of, written_plan
from strategies import OldestFirst, Unfinished

from fastmix import (
    BatchTimeout,
    Client,
    ConfigError,
    FastmixError,
    KeyRotationPolicy,
    MixingConfig,
    MixingStrategy,
    Mixnode,
    MixnodeConfig,
    NetworkFailure,
    NodeState,
)
from fastmix.cli.keys_store import audit_log
from fastmix.config import IdentityConfig, KeysConfig
from fastmix.errors import KeyStoreError
from fastmix.files.temporary import FleetingDirectory
from fastmix.mixing import PoolView
from fastmix.plan import passphrase_path, store_path

WAIT_S = 60


async def test_a_life(tmp_path: Path) -> None:
    node = Mixnode(config_of(written_plan(tmp_path / "net"), tmp_path / "net", 0, node_id="first"))
    assert (await node.get_status()).state is NodeState.STOPPED
    async with node:
        status = await node.get_status()
        assert (status.node_id, status.state) == ("first", NodeState.RUNNING)
        assert node.get_metrics().conservation == 0
        with pytest.raises(FastmixError, match="node first is running"):
            await node.start()
    assert (await node.get_status()).state is NodeState.STOPPED
    assert not (tmp_path / "net" / "state-0" / "control.sock").exists()
    await node.stop()


async def test_messages_through_nodes_of_a_program(tmp_path: Path) -> None:
    plan = written_plan(tmp_path / "net", clients=2, mean_delay_ns=5_000_000)
    nodes = [Mixnode(config_of(plan, tmp_path / "net", number)) for number in range(3)]
    nodes[1] = Mixnode.with_mixing_strategy(nodes[1].config, OldestFirst())
    await asyncio.gather(*(node.start() for node in nodes))
    ann, bob = (
        Client(plan.network, member.peer_id, plan.secrets[member.peer_id], send_rate=300.0) for member in plan.network.clients
    )
    async with ann, bob:
        sent = asyncio.create_task(ann.send(bob.address, b"\x00" * 10_000, reply=True))
        message = await asyncio.wait_for(bob.receive(), WAIT_S)
        assert message.data == b"\x00" * 10_000
        await bob.reply(message, b"yes")
        answer = await asyncio.wait_for(ann.receive(), WAIT_S)
        assert (answer.data, answer.in_reply_to) == (b"yes", (await sent).id)
        for node in nodes:
            await node.configure_mixing(MixingConfig(strategy="timed", options={"interval": "10ms"}, max_latency="100ms"))
        await ann.send(bob.address, b"after")
        assert (await asyncio.wait_for(bob.receive(), WAIT_S)).data == b"after"
        await asyncio.gather(*(node.stop() for node in nodes))
        with pytest.raises(BatchTimeout):
            await ann.send(bob.address, b"nobody", timeout=0.5)
    for node in nodes:
        metrics = node.get_metrics()
        assert metrics.forwarded > 20
        assert (metrics.conservation, metrics.pooled, metrics.strategy_faults) == (0, 0, 0)


async def test_refused_strategies_leave_the_old_one(tmp_path: Path) -> None:
    config = config_of(written_plan(tmp_path / "net"), tmp_path / "net", 0)
    with pytest.raises(ConfigError, match=r"Unfinished cannot be sent .*package\.module:Unfinished"):
        Mixnode.with_mixing_strategy(config, Unfinished())
    async with Mixnode(config) as node:
        for wrong in (MixingConfig(strategy="no.module:X"), MixingConfig(strategy="timed", options={"interval": "-1s"})):
            with pytest.raises(ConfigError):
                await node.configure_mixing(wrong)
        with pytest.raises(ConfigError, match="give a MixingConfig"):
            await node.configure_mixing("timed")  # type: ignore[arg-type]
        assert node.config.mixing.strategy == "poisson"
        await node.configure_mixing(MixingStrategy.Size(20))
        assert (await node.get_status()).state is NodeState.RUNNING


def test_a_strategy_of_the_main_script_is_refused(tmp_path: Path) -> None:
    class Here(MixingStrategy):
        def due_ns(self, pool: PoolView, now_ns: int) -> int:
            return now_ns

        def select(self, pool: PoolView, now_ns: int) -> object:
            return pool.everyone()

    Here.__module__ = "__main__"
    with pytest.raises(ConfigError, match=r"main script.*package\.module:Here"):
        Mixnode.with_mixing_strategy(config_of(written_plan(tmp_path / "net"), tmp_path / "net", 0), Here())


async def test_what_keeps_a_node_from_starting(tmp_path: Path) -> None:
    plan = written_plan(tmp_path / "net")
    config = config_of(plan, tmp_path / "net", 0)
    async with Mixnode(config):
        second = Mixnode(config.model_copy(update={"state_dir": tmp_path / "other"}))
        with pytest.raises(NetworkFailure, match="port is in use"):
            await second.start()
        assert (await second.get_status()).state is NodeState.FAILED
    wrong = Mixnode(config.model_copy(update={"secret_file": plan.secret_path(tmp_path / "net", 1)}))
    with pytest.raises(ConfigError, match="not the secret of node 0"):
        await wrong.start()


async def test_a_store_that_stays_closed(tmp_path: Path) -> None:
    """The program is told why, as the command is; with the right passphrase, in a descriptor of its own, the node starts."""
    with FleetingDirectory("fastmix-test-", 1 << 20) as directory:
        plan = written_plan(directory / "net", rotates=True, mean_delay_ns=0)
        store = store_path(directory / "net", 0)
        ours, theirs = os.pipe()
        os.write(theirs, b"correct horse")
        os.close(theirs)
        keys = KeysConfig(slot="4s", early="1s", late="2s", interval="1min", overlap_period="0s")
        base = config_of(plan, directory / "net", 0, keys=keys, mixing=MixingConfig(max_latency="0ms"), replay_capacity=2000)
        config = base.model_copy(update={"secret_file": None, "identity": IdentityConfig(store=store, passphrase_fd=ours)})
        with pytest.raises(KeyStoreError, match="wrong passphrase"):
            await Mixnode(config).start()
        os.close(ours)
        right = os.open(passphrase_path(store), os.O_RDONLY)
        async with Mixnode(config.model_copy(update={"identity": IdentityConfig(store=store, passphrase_fd=right)})) as node:
            assert (await node.get_status()).state is NodeState.RUNNING
        os.close(right)


PROGRAM = """
import asyncio, sys
from fastmix import Mixnode, MixnodeConfig
async def main():
    async with Mixnode(MixnodeConfig.load(sys.argv[1])):
        print("ready", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


def test_a_node_ends_with_its_program(tmp_path: Path) -> None:
    plan = written_plan(tmp_path / "net")
    config = tmp_path / "net" / "node.toml"
    config.write_text(
        f'number = 0\nnetwork = "network.toml"\nsecret_file = "{plan.secret_path(tmp_path / "net", 0)}"\n'
        'state_dir = "state"\nallow_swap = true\n'
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(config)], stdout=subprocess.PIPE, env=environment)
    assert program.stdout is not None
    assert program.stdout.readline() == b"ready\n"
    family = psutil.Process(program.pid).children(recursive=True)
    assert len(family) == 3
    program.send_signal(signal.SIGKILL)
    program.wait()
    program.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=WAIT_S)
    assert not alive


async def test_keys_of_a_running_node(tmp_path: Path) -> None:
    """A program that has started a node renews its keys, burns them, sets their policy."""
    plan = written_plan(tmp_path / "net", rotates=True, mean_delay_ns=0)
    store = store_path(tmp_path / "net", 0)
    with audit_log(store, plan.identities[0], new=True) as log:
        log.append("the test", "keys.init", identity=plan.identities[0].public.hex(), kept_by="passphrase")
    policy = KeyRotationPolicy(slot=timedelta(seconds=20), early=timedelta(seconds=5), late=timedelta(seconds=10))
    keys = {name: getattr(policy, name) for name in ("slot", "early", "late")}
    config = MixnodeConfig(
        number=0, network=plan.network.path, state_dir=tmp_path / "state", allow_swap=True, keys=keys, replay_capacity=2000,
        mixing={"max_latency": "0ms"}, identity={"store": store, "passphrase_file": passphrase_path(store)},
    )  # fmt: skip
    node = Mixnode(config)
    with pytest.raises(NetworkFailure, match="does not run: start it"):
        await node.rotate_keys()
    async with node:
        first = await node.rotate_keys()
        assert first >= time.time_ns() // 20_000_000_000 + 1
        assert await node.rotate_keys(compromised=True) <= first
        await node.set_key_rotation_policy(replace(policy, interval=timedelta(hours=12)))
        with pytest.raises(ConfigError, match="slot = 10min: this node's network has slot = 20s"):
            await node.set_key_rotation_policy(KeyRotationPolicy())
        with pytest.raises(ConfigError, match="give a KeyRotationPolicy"):
            await node.set_key_rotation_policy(None)  # type: ignore[arg-type]
    command = ["keys", "audit", str(store), "--passphrase-file", str(passphrase_path(store))]
    audit = subprocess.run([sys.executable, "-m", "fastmix", *command], capture_output=True, text=True, check=False)
    assert (audit.returncode, "all as they were written" in audit.stdout) == (0, True), audit


async def test_keys_without_an_end(tmp_path: Path) -> None:
    async with Mixnode(config_of(written_plan(tmp_path / "net"), tmp_path / "net", 0)) as node:
        with pytest.raises(ConfigError, match="which do not rotate: make a network whose keys do"):
            await node.rotate_keys()
        with pytest.raises(ConfigError, match="which do not rotate"):
            await node.set_key_rotation_policy(KeyRotationPolicy())
