"""kill -9 of each process of a real node, under traffic."""

import os
import signal
import time

import pytest
from real_node import RealNode, group_members, maps_of, port_is_bound, until

from fastmix.packet.verdict import Verdict


def check_wire(node) -> list:
    """No counter twice, nothing forged, no packet twice; the opened frames."""
    opened = node.opened()
    assert {each.verdict for each in opened} <= {Verdict.OK}
    assert len({each.seq for each in opened}) == len(opened), "a sequence number went out twice"
    assert len({each.packet for each in opened}) == len(opened), "a packet left twice"
    return opened


def settled(node):
    """The metrics once nothing is on its way."""

    def quiet():
        metrics = node.metrics()
        return metrics if metrics and not metrics.pooled + metrics.in_stage and metrics.received == node.sent else None

    return until(quiet, else_tell=lambda: f"sent {node.sent}, {node.metrics()}")


def test_data_plane(start) -> None:
    """Pooled packets still leave, none twice; replays of before are refused; sockets and memory are the same."""
    node = start(mean_delay_ns=200_000_000)
    frames = node.send(300)
    node.settle(300)
    pid = node.signal(signal.SIGKILL, "data")
    more = node.send(100)
    until(lambda: node.child("data") not in (0, pid))
    assert node.state() == "running"
    gone = node.flush()
    node.send_frames(frames + more)
    metrics = settled(node)
    assert metrics.conservation == 0
    assert metrics.dropped["drop_link_replay"] == 400 - gone
    lost = metrics.dropped["drop_crash"]
    assert metrics.crash_uncertain <= lost <= 100 - gone
    assert metrics.forwarded == 400 - lost
    opened = check_wire(node)
    assert metrics.forwarded <= len(opened) <= metrics.forwarded + metrics.crash_uncertain
    assert "data plane died (SIGKILL)" in node.log()
    assert node.stop() == 0


def test_replays_of_before_in_new_frames(start) -> None:
    node = start()
    packets = [node.packet() for _ in range(50)]
    node.send_frames([node.upstream.frame(packet) for packet in packets])
    settled(node)
    pid = node.signal(signal.SIGKILL, "data")
    until(lambda: node.child("data") not in (0, pid))
    node.send_frames([node.upstream.frame(packet) for packet in packets])
    assert settled(node).dropped["drop_replay"] == 50
    check_wire(node)


@pytest.mark.parametrize("place", range(1, 8))
def test_fail_point(start, place) -> None:
    """A data plane that dies again and again at one place of the road: the law stays exact, and each next one goes on."""
    node = start(kills=(place, 3, 9), mean_delay_ns=2_000_000)
    while node.log().count("data plane died") < 6:
        node.send(4)
        time.sleep(0.004)
    metrics = until(lambda: (m := node.metrics()) and m.received > 0 and m)
    assert metrics.conservation == 0
    assert metrics.crash_uncertain <= metrics.dropped["drop_crash"]
    assert place in (6,) or metrics.crash_uncertain == 0
    opened = check_wire(node)
    assert opened or place == 1
    assert "not started again" not in node.log()


@pytest.mark.parametrize(("place", "kills"), [(5, 200), (6, 30)])
def test_no_key_and_nonce_twice(start, place, kills) -> None:
    """Killed so often between seal and send, and after send: step and seq of all frames of all lives are new."""
    node = start(kills=(place, 1, 3), mean_delay_ns=1_000_000)
    died = 0
    while died < kills:
        node.send(2)
        time.sleep(0.003)
        node.receive()
        died = node.log().count("data plane died (SIGKILL)")
    opened = check_wire(node)
    assert len(opened) > kills // 4
    lives = {each.step for each in opened}
    assert len(lives) > kills // 5
    metrics = until(node.metrics)
    assert metrics.conservation == 0
    assert metrics.crash_uncertain == 0 or place == 6
    assert kills - 1 <= metrics.restarts <= kills + 2


def test_control(start) -> None:
    """No packet is lost, the next control adopts what is there, and counters go on."""
    node = start()
    node.send(50)
    settled(node)
    steps = max(each.step for each in check_wire(node))
    pid = node.signal(signal.SIGKILL, "control")
    for _ in range(20):
        node.send(10)
        time.sleep(0.005)
    until(lambda: node.receive() == 250)
    until(lambda: node.child("control") not in (0, pid))
    until(lambda: node.state() == "running")
    node.send(50)
    metrics = settled(node)
    assert (metrics.conservation, metrics.forwarded, metrics.dropped_total) == (0, 300, 0)
    opened = check_wire(node)
    assert len(opened) == 300
    assert [each.seq for each in opened] == list(range(300)), "the new control has not skipped what was reserved"
    assert max(each.step for each in opened) > steps


def test_control_before_it_has_published(zygote, tmp_path) -> None:
    """The data plane waits for the one that does."""
    node = RealNode(tmp_path, zygote)
    try:
        node.launch()
        pid = 0
        for _ in range(3):
            pid = until(lambda last=pid: (found := node.child("control")) != last and found, every_s=0.001)
            os.kill(pid, signal.SIGKILL)
        until(lambda: node.state() == "running")
        node.send(10)
        assert settled(node).forwarded == 10
        assert node.stop() == 0
    finally:
        node.end()


def test_both_children_at_once(start) -> None:
    """Two deaths may be one signal: both are seen."""
    node = start()
    for _ in range(4):
        pids = [node.signal(signal.SIGSTOP), node.child("data"), node.child("control")]
        for pid in pids[1:]:
            os.kill(pid, signal.SIGKILL)
        os.kill(pids[0], signal.SIGCONT)
        until(lambda gone=pids: node.child("data") not in (0, *gone) and node.child("control") not in (0, *gone))
        node.send(10)
        until(lambda: node.state() == "running")
    assert settled(node).forwarded == 40
    assert node.stop() == 0


def test_control_again_and_again(start) -> None:
    node = start()
    for _ in range(6):
        pid = node.signal(signal.SIGKILL, "control")
        until(lambda pid=pid: node.child("control") not in (0, pid))
        node.send(5)
        until(lambda: node.state() == "running")
    assert settled(node).forwarded == 30
    assert node.stop() == 0


def test_parent(start) -> None:
    """Both children see it and end; what waited leaves in its time; no process, socket or memory is left."""
    node = start(mean_delay_ns=100_000_000)
    node.send(200)
    node.settle(200)
    group, pids = node.pid, [node.child("data"), node.child("control")]
    assert all("fastmix-arena" in maps_of(pid) or pid == pids[1] for pid in pids)
    node.signal(signal.SIGKILL)
    assert node.ended() == -signal.SIGKILL
    until(lambda: not group_members(group))
    assert not port_is_bound(node.address[1])
    assert not any("memfd:fastmix" in maps_of(pid) for pid in pids)
    assert len(check_wire(node)) == 200


def test_an_orphan_whose_strategy_hangs(start) -> None:
    """Nobody is left to end it, so it ends itself, once its longest drain is over."""
    hangs = {"strategy": "rubbish_mixing:Rubbish", "options": {"kind": "hangs"}, "max_latency": "100ms"}
    node = start(options={"mixing": hangs}, mean_delay_ns=10_000_000)
    group = node.pid
    node.send(20)
    until(lambda: (m := node.metrics()) and m.received)
    node.signal(signal.SIGKILL)
    assert node.ended() == -signal.SIGKILL
    until(lambda: not group_members(group))
    assert not port_is_bound(node.address[1])


def test_all_at_once_then_again(start) -> None:
    """After kill -9 of everything the next start skips to the next block of counters and still refuses replays."""
    node = start()
    packets = [node.packet() for _ in range(20)]
    node.send_frames([node.upstream.frame(packet) for packet in packets])
    settled(node)
    first = check_wire(node)
    os.killpg(node.pid, signal.SIGKILL)
    node.ended()
    node.sent = 0
    node.start()
    node.send_frames([node.upstream.frame(packet) for packet in packets])
    node.send(5)
    metrics = settled(node)
    assert metrics.dropped["drop_replay"] == 20
    opened = check_wire(node)[len(first) :]
    assert min(each.seq for each in opened) >= 1 << 22
    assert min(each.step for each in opened) >= 1 << 22
