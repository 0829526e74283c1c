"""A real node with two workers: the same promises as with one."""

import os
import signal
import time
from pathlib import Path

import pytest
from node_command import refused, write_config
from real_node import RealNode, bound_socket, until
from test_process_kills import check_wire, settled

from fastmix.errors import ConfigError
from fastmix.process.placement import check_cores, place_threads, ranges

TWO = {"workers": 2}


def threads_of(pid: int) -> dict[str, int]:
    """Name -> id of a process's threads."""
    return {(task / "comm").read_text().strip(): int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()}


def send_from_many(node: RealNode, sockets: list, frames: list[bytes]) -> None:
    """Frames of one link from many ports: the kernel spreads them over the node's sockets."""
    for i, frame in enumerate(frames):
        sockets[i % len(sockets)].sendto(frame, node.address)
    node.sent += len(frames)


def test_one_link_from_many_ports(start) -> None:
    """Whatever worker takes them: nothing is lost, nothing passes twice, the law is exact at every look."""
    node = start(options=TWO)
    sockets = [bound_socket() for _ in range(8)]
    packets = [node.packet() for _ in range(150)]
    frames = [node.upstream.frame(packet) for packet in packets]
    send_from_many(node, sockets, frames)
    send_from_many(node, sockets[::-1], frames)
    while (metrics := node.metrics()) and metrics.received < node.sent:
        assert metrics.conservation == 0
    send_from_many(node, sockets, [node.upstream.frame(packet) for packet in packets])
    metrics = settled(node)
    drops = {label: n for label, n in metrics.dropped.items() if n}
    assert drops == {"drop_link_replay": 150, "drop_replay": 150}
    assert (metrics.forwarded, metrics.conservation) == (150, 0)
    assert len(check_wire(node)) == 150
    by_worker = node.ask("status")["received_by_worker"]
    assert (len(by_worker), sum(by_worker)) == (2, metrics.received)
    assert min(by_worker) > 0
    assert node.stop() == 0
    for sock in sockets:
        sock.close()


def test_kill_under_traffic(start) -> None:
    """Pooled packets still leave, none twice; replays of before are refused."""
    node = start(options=TWO, mean_delay_ns=200_000_000)
    frames = node.send(120)
    node.settle(120)
    for _ in range(3):
        pid = node.child("data")
        frames += node.send(50)
        os.kill(pid, signal.SIGKILL)
        frames += node.send(50)
        until(lambda pid=pid: node.child("data") not in (0, pid))
    gone = node.flush()
    node.send_frames(frames)
    metrics = settled(node)
    assert (metrics.conservation, metrics.restarts) == (0, 3)
    lost = metrics.dropped["drop_crash"]
    again = metrics.dropped["drop_link_replay"] + metrics.dropped["drop_replay"]
    assert metrics.crash_uncertain <= lost <= 300 - gone
    assert 420 - lost - gone <= again <= 420, "one that was lost before the window may pass the second time"
    assert metrics.forwarded == 840 - gone - again - lost
    assert metrics.forwarded <= len(check_wire(node)) <= metrics.forwarded + metrics.crash_uncertain
    assert node.stop() == 0


@pytest.mark.parametrize("place", [1, 3, 4, 5, 6])
def test_fail_point(start, place) -> None:
    """Whichever thread passes the place, and whatever the others do then: the law stays exact, and each next one goes on."""
    node = start(options=TWO, kills=(place, 2, 6), mean_delay_ns=2_000_000)
    while node.log().count("data plane died") < 4:
        node.send(4)
        time.sleep(0.004)
    metrics = until(lambda: (m := node.metrics()) and m.received > 0 and m)
    assert metrics.conservation == 0
    assert metrics.crash_uncertain <= metrics.dropped["drop_crash"]
    check_wire(node)
    assert "not started again" not in node.log()


def test_drain(start) -> None:
    """What is pooled leaves at its time, what comes is counted; the workers have ended before the last count."""
    node = start(options=TWO, mean_delay_ns=200_000_000)
    late = [node.upstream.frame(node.packet()) for _ in range(20)]
    node.send(80)
    node.settle(80)
    node.signal(signal.SIGTERM)
    until(lambda: "draining" in node.log(), every_s=0.001)
    node.send_frames(late)
    assert node.ended() == 0
    assert len(check_wire(node)) == 80
    assert "ended: 100 received + 0 originated = 80 forwarded + 0 delivered + 0 absorbed + 20 dropped" in node.log()


def test_placement(start) -> None:
    """Each worker on its CPU, the mixer where the kernel likes; all as important as was asked. Memory is told in one line."""
    allowed = sorted(os.sched_getaffinity(0))
    cores = [allowed[-1], allowed[0]]
    node = start(options=TWO | {"cores": cores, "priority": 7})
    threads = threads_of(node.child("data"))
    workers = [threads.pop("worker 1"), threads.pop("worker 2")]
    assert len(threads) == 1
    until(lambda: [os.sched_getaffinity(thread) for thread in workers] == [{core} for core in cores])
    until(lambda: [os.getpriority(os.PRIO_PROCESS, thread) for thread in workers] == [7, 7])
    mixer = threads.popitem()[1]
    until(lambda: os.getpriority(os.PRIO_PROCESS, mixer) == 7)
    assert os.sched_getaffinity(mixer) == set(allowed)
    assert node.log().count("arena of 4096 slots") == 1


def test_one_worker_is_placed_too(start) -> None:
    core = max(os.sched_getaffinity(0))
    node = start(options={"cores": [core], "priority": 3})
    until(lambda: os.sched_getaffinity(node.child("data")) == {core})
    until(lambda: os.getpriority(os.PRIO_PROCESS, node.child("data")) == 3)


def test_what_the_system_refuses_is_said_once(caplog) -> None:
    place_threads([1 << 30, (1 << 30) + 1], 1 << 30, [], 5)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "CAP_SYS_NICE" in caplog.text


def test_wrong_cores_are_named(planned) -> None:
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    allowed = ranges(sorted(os.sched_getaffinity(0)))
    with pytest.raises(ConfigError, match=f"CPU 4000 .*choose from {allowed}"):
        check_cores([4000])
    said = refused(write_config(planned, workers="2", cores="[0, 4000]"))
    assert "cores: CPU 4000 is not one that this process may use" in said
    assert "cores names 1 CPUs for workers = 2" in refused(write_config(planned, workers="2", cores="[0]"))
    assert "workers: 0" in refused(write_config(planned, workers="0"))
    assert "nap 20ms is longer than 10ms" in refused(write_config(planned, nap='"20ms"'))
