"""How a real node ends: drained, dropped, interrupted while it starts, or refused with one sentence."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from node_command import fastmix_run, fastmix_run_begun, refused, write_config
from real_node import group_members, port_is_bound, until

from fastmix.control.ask import LAST_METRICS
from fastmix.status import Metrics


def last_metrics(node):
    """What the node wrote when it ended."""
    metrics = Metrics(**json.loads((node.state_dir / LAST_METRICS).read_text()))
    assert metrics.conservation == 0
    assert metrics.pooled == metrics.in_stage == 0
    return metrics


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_the_first_one_drains(pooled_node, number) -> None:
    """Pooled packets leave at their own deadlines, new ones are dropped and counted, the exit code is 0. A terminal tells all
    processes, and is told once.
    """
    node = pooled_node()
    began = node.receive()
    node.signal(number) if number == signal.SIGTERM else os.killpg(node.pid, number)
    until(lambda: node.state() == "draining")
    assert node.receive() < 100, "nothing leaves early"
    node.send(7)
    group = node.pid
    assert node.ended() == 0
    assert began < node.receive() == 100
    metrics = last_metrics(node)
    assert metrics.forwarded == 100
    assert metrics.dropped["drop_draining"] == 7
    assert metrics.dropped["drop_drained"] == 0
    assert "Traceback" not in node.log()
    assert "died" not in node.log()
    assert not group_members(group)
    assert not port_is_bound(node.address[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_the_second_one_drops(pooled_node, number) -> None:
    node = pooled_node(mean_delay_ns=3_000_000_000)
    os.killpg(node.pid, number) if number == signal.SIGINT else node.signal(number)
    until(lambda: node.state() == "draining")
    began = time.monotonic()
    os.killpg(node.pid, number) if number == signal.SIGINT else node.signal(number)
    assert node.ended() == 0
    assert time.monotonic() - began < 10
    metrics = last_metrics(node)
    assert metrics.dropped["drop_drained"] > 0
    assert metrics.forwarded + metrics.dropped["drop_drained"] == 100
    assert node.receive() == metrics.forwarded
    assert "Traceback" not in node.log()


def test_one_signal_to_the_whole_group(pooled_node) -> None:
    """As a service supervisor sends it, to every process of the node: it drains, nothing is dropped."""
    node = pooled_node()
    os.killpg(node.pid, signal.SIGTERM)
    assert node.ended() == 0
    assert last_metrics(node).forwarded == node.receive() == 100
    assert "Traceback" not in node.log()


def test_killed_while_it_drains(pooled_node) -> None:
    """The next data plane goes on draining: what is pooled still leaves."""
    node = pooled_node()
    node.signal(signal.SIGTERM)
    until(lambda: node.state() == "draining")
    pid = node.signal(signal.SIGKILL, "data")
    assert pid
    assert node.ended() == 0
    metrics = last_metrics(node)
    assert metrics.forwarded + metrics.dropped["drop_crash"] == 100
    assert metrics.forwarded >= 90


def test_a_control_that_does_not_answer(start) -> None:
    """A stopped control process does not keep the node from ending."""
    node = start()
    group = node.pid
    node.signal(signal.SIGSTOP, "control")
    assert node.stop() == 0
    assert not group_members(group)


def test_a_data_plane_that_stands_still(start) -> None:
    """As a strategy that never returns makes it: the second signal ends the node all the same, and it is said."""
    node = start()
    group = node.pid
    node.signal(signal.SIGSTOP, "data")
    node.signal(signal.SIGTERM)
    until(lambda: "draining" in node.log())
    node.signal(signal.SIGTERM)
    assert node.ended() == 1
    assert "data plane does not end by itself" in node.log()
    assert not group_members(group)


def test_a_control_that_comes_back_needs_no_file(pooled_node) -> None:
    """Secret and network file are gone or another: the data plane has not noticed, and the next control answers."""
    node = pooled_node()
    Path(node.config["secret_file"]).unlink()
    network = node.plan.network.path
    network.write_text(network.read_text().replace("[[link]]", "[[knil]]"))
    for _ in range(2):
        pid = node.signal(signal.SIGKILL, "control")
        until(lambda pid=pid: node.child("control") not in (0, pid) and node.state() == "running")
    assert node.stop() == 0
    assert node.receive() == 100
    assert last_metrics(node).forwarded == 100


def test_a_flood_does_not_keep_it_alive(start) -> None:
    node = start()
    junk = os.urandom(1232)
    node.signal(signal.SIGTERM)
    give_up = time.monotonic() + 10
    while node.exit_code() is None and time.monotonic() < give_up:
        for _ in range(200):
            node.before.sendto(junk, node.address)
    assert node.pid == 0


def test_a_data_plane_that_never_gets_ready(start) -> None:
    """Given up after a few tries. (One that is killed when it is ready is not: test_process_kills.py kills 200 in a row.)"""
    node = start(kills=(0, 0, 0))
    assert node.pid == 0
    assert node.log().count("data plane died (SIGKILL)") == 4
    assert node.log().count("data plane ended with code -9 and is not started again: the node stops") == 1
    assert not group_members(node.last_pid)


def test_what_a_restart_would_not_mend(start) -> None:
    """Here the replay set is damaged: one sentence and the end."""
    node = start()
    pid = node.child("data")
    for path in node.state_dir.glob("pair-*"):
        path.write_bytes(b"")
    os.kill(pid, signal.SIGKILL)
    assert node.ended() == 1
    assert "not started again" in node.log()
    assert "Traceback" not in node.log()


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.05, 0.3, 0.7, 1.2, 1.6, 2.0, 2.6])
def test_interrupted_while_it_starts(planned, delay_s) -> None:
    """Ctrl-C at any moment, as a terminal sends it: to all processes. No orphan, no traceback, no memory, no socket."""
    process = fastmix_run_begun(write_config(planned))
    time.sleep(delay_s)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode in (0, 130, -signal.SIGINT), said
    assert "Traceback" not in said or process.returncode == -signal.SIGINT
    until(lambda: not group_members(process.pid))
    assert not port_is_bound(planned.address[1])


def test_a_port_in_use(planned) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(planned.address)
        said = refused(write_config(planned))
    assert said.count("\n") == 1
    assert f"{planned.address[0]}:{planned.address[1]}" in said
    assert "in use" in said


BAD_FILES = [
    ({"secret_file": '"nowhere"'}, "nowhere"),
    ({"network": '"nowhere.toml"'}, "nowhere.toml"),
    ({"number": "7"}, "has no node 7"),
    ({"number": '"one"'}, "number"),
    ({"nubmer": "1"}, "nubmer"),
    ({"state_dir": '"/proc/nowhere"'}, "/proc/nowhere"),
    ({"mixing.strategy": '"fastest"'}, "fastest"),
    ({"mixing.strategy": '"no.such.module:Mixer"'}, "no.such.module"),
]


@pytest.mark.parametrize(("changes", "named"), BAD_FILES, ids=lambda each: each if isinstance(each, str) else "")
def test_bad_files(planned, changes, named) -> None:
    said = refused(write_config(planned, **changes))
    assert named in said
    assert said.count("\n") <= 2


def test_damaged_files(planned) -> None:
    config = write_config(planned)
    network = planned.plan.network.path
    text = network.read_text()
    network.write_text(text.replace('geometry = "wan"', 'geometry = "huge"'))
    assert "huge" in refused(config)
    network.write_text(text[: len(text) // 2])
    assert "network.toml" in refused(config)
    network.write_text(text)
    counters = network.parent / "secrets" / "link-0.node-1.counters"
    counters.write_text("{}")
    process = fastmix_run(config)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "counter reservations are damaged" in said
    assert "Traceback" not in said
    counters.unlink()
    Path(planned.config["secret_file"]).write_bytes(bytes(31))
    assert "31 bytes" in refused(config)
