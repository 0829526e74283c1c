"""A data plane killed while link roots change: no row is begun anew twice, no number is used twice, nothing is lost."""

import gc
import os
import random
import signal

import pytest
from road_rig import only
from row_rig import DOWN, UP, RowRig

from fastmix.control.link_rows import LinkRows
from fastmix.control.snapshot import publish_links
from fastmix.packet.verdict import Verdict

RECEIVED, OPENED, POOLED, LEAVING, SEALED, SENT, COMMITTED, RESETTING, RESET, SETTLING = range(1, 11)


def live(rig: RowRig, place: int, after: int, frames: list[bytes]) -> bool:
    """The life of a forked data plane: it adopts what is published, receives, and a second later lets all leave. True if it
    came to `place` and killed itself there."""
    pid = os.fork()
    if pid == 0:
        gc.disable()  # memory that is not inherited must not be unmapped: something else may lie there by now
        before = rig.node.plane
        rig.node.take_over(lambda plane: plane.road.kill_at(place, after))
        assert before is not rig.node.plane
        rig.push(*frames)
        rig.look()
        rig.step()
        rig.step(1_000_000_000)
        os._exit(7)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) in (-signal.SIGKILL, 7)
    rig.now_ns += 1_000_000_000
    return os.waitstatus_to_exitcode(status) != 7


def renewed(rig: RowRig, peer: bytes) -> None:
    """Published, and nobody has looked: another root of the peer sends, and the one before is over."""
    row, _ = rig.link(peer)
    assert rig.rows.acked(row, rig.now_ns)
    rig.rows.expire(rig.now_ns + rig.rows.overlap_ns)
    publish_links(rig.node.snapshot, rig.rows, rig.routes)


@pytest.mark.parametrize("place", [RESETTING, RESET, SETTLING])
def test_killed_between_two_snapshots(place) -> None:
    """The root's row was another one's, with counters and a window of its own. What waits leaves by it, from its first number."""
    rig = RowRig()
    up, down = rig.joined(UP, DOWN)
    used = rig.rows.sending(DOWN)
    rig.receive(*(up.frame(rig.packet()) for _ in range(3)))
    rig.read(rig.leave())
    rig.receive(down.frame(rig.packet(b"\x03\xff"), seq=20_000))
    renewed(rig, DOWN)
    rig.look()
    rig.rows.adopted(int(rig.node.page["process"]["adopted"][0]))
    rig.receive(*(up.frame(rig.packet()) for _ in range(5)))
    renewed(rig, DOWN)
    row = rig.rows.sending(DOWN)
    assert row.row == used.row
    state = rig.node.page["links"][row.row]
    assert (state["serial"], int(state["send_counter"]) >> 32, state["window"]["top"]) == (used.serial, 3, 20_001)
    assert live(rig, place, 1, [])
    assert (state["serial"] == row.serial) == (place != RESETTING)
    rig.node.take_over()
    rig.look()
    assert (state["serial"], state["send_counter"], state["window"]["top"]) == (row.serial, 0, 0)
    left = rig.leave()
    assert rig.read(left) == [row] * 5
    assert sorted(seq for root, seq in rig.sealed if root == rig.out[row.index_out][1]) == list(range(5))
    assert rig.drops() == {}


@pytest.mark.parametrize("place", [SEALED, SENT, COMMITTED])
def test_killed_after_the_first_use_of_a_root(place) -> None:
    """The next data plane goes on behind the numbers that were used, though it adopts the same snapshot again."""
    rig = RowRig()
    up, _ = rig.joined(UP, DOWN)
    renewed(rig, DOWN)
    row = rig.rows.sending(DOWN)
    assert live(rig, place, 1, [up.frame(rig.packet()) for _ in range(4)])
    assert rig.note_rows() == 4
    rig.node.take_over()
    rig.look()
    rig.receive(*(up.frame(rig.packet()) for _ in range(3)))
    left = rig.leave()
    assert rig.read(left) == [row] * 3
    assert {seq for root, seq in rig.sealed if root == rig.out[row.index_out][1]} == set(range(7))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_life_after_life(seed) -> None:
    """Roots are renewed, control and data plane are killed, in any order and at any place: no number is sealed under twice, and
    all that is lost was in the hands of one that was killed."""
    rig, dice = RowRig(rows=LinkRows(overlap_ns=0), options={"pool_slots": 256}), random.Random(seed)
    up, _ = rig.joined(UP, DOWN)
    n = kills = 0
    for _ in range(30):
        process, snapshot = rig.node.page["process"], rig.node.snapshot["snapshot"]
        rig.rows.adopted(int(process["adopted"][0]))
        if int(process["adopted"][0]) == int(snapshot["generation"][0]) and dice.random() < 0.8:
            renewed(rig, DOWN)
        if dice.random() < 0.3:
            rig.next_control()
        frames = [up.frame(rig.packet()) for _ in range(dice.randrange(6))]
        n += len(frames)
        kills += live(rig, dice.randrange(1, 11), dice.randrange(1, 3), frames)
        rig.note_rows()
    rig.node.take_over()
    rig.look()
    left = rig.leave()
    assert rig.read(left) == [rig.rows.sending(DOWN)] * len(left)
    assert kills > 5
    metrics = rig.node.metrics()
    assert metrics.received <= n
    assert rig.drops() in ({}, only(Verdict.DROP_CRASH, metrics.dropped["drop_crash"]))
