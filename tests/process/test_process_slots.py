"""Traffic through a real node whose keys rotate every two seconds: calm, and with kills at every point of a rotation."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_node import Zygote, until
from rotating_node import TIMES, RotatingNode, S

from fastmix.seam.memory import Region, create_memory, secret_sections


@pytest.fixture
def node(zygote: Zygote, tmp_path: Path) -> Iterator[RotatingNode]:
    made = RotatingNode(tmp_path, zygote)
    try:
        made.start()
        yield made
    finally:
        made.end()


def check_sums(node: RotatingNode) -> None:
    """Nothing is missing, and no key has had two replay sets."""
    metrics = until(node.metrics)
    assert metrics.conservation == 0
    node.note_pairs()
    assert all(len(sets) == 1 for sets in node.pairs.values())


def test_rotations_under_traffic_lose_nothing(node: RotatingNode) -> None:
    """Three rotations of two seconds: so long it takes."""
    first = TIMES.number(node.now_ns())
    node.flow(60, lambda: TIMES.number(node.now_ns()) >= first + 4)
    node.settle(node.sent)
    until(lambda: node.receive() == node.sent)
    assert sorted(node.onward()) == sorted(public for wave in node.waves for public in wave.onward)
    metrics = until(node.metrics)
    assert (metrics.forwarded, metrics.dropped_total, metrics.kernel_drop_events) == (node.sent, 0, 0)
    assert len({key_slot for wave in node.waves for key_slot in wave.key_slots}) >= 4
    check_sums(node)


POINTS = ["filled", "taken", "named", "published", "removed"]


def check_replays(node: RotatingNode) -> None:
    """All that was ever sent is sent again: none of it comes out a second time."""
    before = until(node.metrics)
    node.receive()
    came = set(node.onward())
    n = node.replay()
    until(lambda: (m := node.metrics()) and m.received >= before.received + n and not m.in_stage)
    out = node.onward()
    assert len(out) == len(set(out)), "something has come out twice"
    metrics = until(node.metrics)
    late = set(out) - came
    assert metrics.forwarded - before.forwarded == len(late), "only what had been lost before"
    assert sum(metrics.dropped[label] - before.dropped[label] for label in metrics.dropped) + len(late) == n


def test_kills_of_control_at_each_point_of_a_rotation(node: RotatingNode) -> None:
    """One node, killed at one point after another under traffic; control loses no packet that has a key."""
    for point in POINTS:
        node.kill_at(point)
    node.flow(1)
    check_replays(node)
    check_sums(node)
    assert "Traceback" not in node.log()


def test_a_kill_of_control_while_it_wipes(node: RotatingNode) -> None:
    """It does so only where the data plane has not done it: here that one is stopped."""
    node.flow(1)
    data = node.signal(signal.SIGSTOP, "data")
    node.kill_at("wiping")
    os.kill(data, signal.SIGCONT)
    node.flow(1)
    check_replays(node)
    check_sums(node)


def test_a_kill_of_the_data_plane_while_it_wipes(node: RotatingNode) -> None:
    """The next one wipes on, or control does; what was recorded is not taken."""
    node.kill_at("data-wiping", "data")
    node.flow(1)
    check_replays(node)
    check_sums(node)
    assert until(node.metrics).restarts == 1


def test_a_kill_of_the_whole_node(node: RotatingNode) -> None:
    """Live keys go on with their replay sets; all that was sent is refused."""
    node.flow(1)
    keys = set(node.pairs)
    node.kill_all()
    node.note_pairs()
    assert keys & set(node.pairs), "a pair that is whole goes on"
    check_replays(node)
    node.flow(1)
    check_sums(node)


def test_keys_are_locked_and_an_abort_leaves_no_core(node: RotatingNode) -> None:
    """Both processes that map keys keep them out of swap; neither dumps its memory, whatever the core pattern is."""
    before = set(Path.cwd().glob("core*"))
    for whom in ("control", "data"):
        pid = node.child(whom)
        status = Path(f"/proc/{pid}/status").read_text()
        locked = int(re.search(r"VmLck:\s+(\d+) kB", status)[1]) * 1024
        assert locked >= Region(create_memory("fastmix-test", secret_sections()), secret_sections()).size, whom
        assert re.search(r"Max core file size +0 +0 ", Path(f"/proc/{pid}/limits").read_text())
        node.signal(signal.SIGABRT, whom)
        until(lambda whom=whom, pid=pid: node.child(whom) not in (0, pid) and node.state() == "running")
    assert node.log().count("died (SIGABRT)") == 2
    assert set(Path.cwd().glob("core*")) == before


def test_a_wall_clock_that_jumps_burns_the_live_keys(node: RotatingNode) -> None:
    """As after a restored snapshot. Nothing that was sent before is taken, and the fresh keys are in use within a moment; killed
    before it confirms anything, control does not follow the jump either."""
    node.flow(1)
    keys = set(node.pairs)
    node.set_clock(3_600_000_000_000)
    until(lambda: (node.note_pairs(), set(node.pairs) - keys)[1])
    until(lambda: node.log().count("keys of slots") >= 2, else_tell=node.log)
    check_replays(node)
    assert any(issue["name"] == "clock" and "3600 s ahead" in issue["problem"] for issue in node.ask("health")["issues"])
    node.signal(signal.SIGKILL, "control")
    until(lambda: node.state() == "running")
    assert "has parted from boot time" in node.log()
    before = until(node.metrics)
    node.flow(0.5)
    until(lambda: (m := node.metrics()) and m.forwarded > before.forwarded)
    check_sums(node)


def test_replays_that_are_in_hand_while_keys_burn(node: RotatingNode) -> None:
    """They come all the time that control finds the clocks parted and wipes what the data plane is using."""
    for hours in (-1, 2, -3):
        node.flow(0.5)
        node.settle(node.sent)
        keys = set(node.pairs)
        packets = [pair for wave in node.waves[-4:] for pair in zip(wave.packets, wave.key_slots, strict=True)]
        replays = [node.upstream.frame(packet.tobytes(), key_slot=key_slot) for packet, key_slot in 40 * packets]
        before = until(node.metrics)
        node.set_clock(hours * 3600 * S)
        for at in range(0, len(replays), 64):
            node.send_frames(replays[at : at + 64])
            time.sleep(0.003)  # so that some are in hand at whatever moment control looks, ten times a second
        node.settle(node.sent)
        after = until(node.metrics)
        assert (after.forwarded, after.pooled) == (before.forwarded, before.pooled)
        until(lambda keys=keys: (node.note_pairs(), set(node.pairs) - keys)[1])
    onward = node.onward()
    assert len(set(onward)) == len(onward)
