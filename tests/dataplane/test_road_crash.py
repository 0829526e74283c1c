"""A data plane killed at each place of the road: the next one finds whole memory, and the law holds exactly."""

import gc
import os
import signal

import pytest
from road_rig import Rig, only

from fastmix.config import MixingConfig
from fastmix.packet.verdict import Verdict
from fastmix.seam.memory import ask_mixing

N = 40
RECEIVED, OPENED, POOLED, LEAVING, SEALED, SENT, COMMITTED = range(1, 8)


def die(rig: Rig, place: int, after: int, frames: list[bytes]) -> None:
    """A forked data plane takes the node over, receives, and a second later lets all leave; it kills itself at `place`."""
    pid = os.fork()
    if pid == 0:
        gc.disable()  # memory that is not inherited must not be unmapped: something else may lie there by now
        before = rig.node.plane
        rig.node.take_over()
        assert before is not rig.node.plane
        rig.node.plane.road.kill_at(place, after)
        rig.push(*frames)
        rig.step()
        rig.step(1_000_000_000)
        os._exit(7)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    rig.now_ns += 1_000_000_000


LEFT_BEHIND = {RECEIVED: (N, 0), OPENED: (N, 0), POOLED: (0, 0), LEAVING: (N, 0), SEALED: (N, 0), SENT: (N, N), COMMITTED: (0, 0)}
"""Place -> (dropped by the crash, of which perhaps sent)."""


@pytest.mark.parametrize(("place", "lost", "uncertain"), [(place, *left) for place, left in LEFT_BEHIND.items()])
def test_the_next_one_takes_over(place, lost, uncertain) -> None:
    rig = Rig()
    packets = [rig.packet() for _ in range(N)]
    frames = [rig.peer.frame(packet) for packet in packets]
    counter = int(rig.node.page["links"]["send_counter"].max())
    die(rig, place, 1, frames)
    rig.node.take_over()
    assert rig.drops() == (only(Verdict.DROP_CRASH, lost) if lost else {})
    metrics = rig.node.metrics()
    assert metrics.received == N
    assert metrics.crash_uncertain == uncertain
    assert metrics.pooled == (N if place == POOLED else 0)
    assert metrics.forwarded == (N if place == COMMITTED else 0)
    assert len(rig.leave()) == metrics.pooled, "what was pooled leaves, in the new life"
    if place >= SEALED:
        assert int(rig.node.page["links"]["send_counter"].max()) > counter + (N << 32), "step and seq were taken before sealing"


@pytest.mark.parametrize(
    ("place", "after", "left"), [(SENT, 1, (0, 300, 256)), (COMMITTED, 1, (256, 44, 0)), (SENT, 2, (256, 44, 44))]
)
def test_more_than_one_send_call(place, after, left) -> None:
    """Of 300 that leave at once 256 go in the first call. Only those that the last call was given are uncertain."""
    rig = Rig(mixing=MixingConfig(floor=0, min_batch_size=1, max_batch_size=1000))
    die(rig, place, after, rig.frames(300))
    rig.node.take_over()
    rig.drops()
    metrics = rig.node.metrics()
    assert (metrics.forwarded, metrics.dropped["drop_crash"], metrics.crash_uncertain) == left


@pytest.mark.parametrize("place", [POOLED, LEAVING, SEALED, SENT, COMMITTED])
def test_replays_of_before_are_refused(place) -> None:
    rig = Rig()
    packets = [rig.packet() for _ in range(N)]
    frames = [rig.peer.frame(packet) for packet in packets]
    die(rig, place, 1, frames)
    rig.node.take_over()
    before = rig.drops().get("drop_crash", 0)
    rig.receive(*frames)
    rig.receive(*(rig.peer.frame(packet) for packet in packets))
    assert rig.drops() == {"drop_link_replay": N, "drop_replay": N} | ({"drop_crash": before} if before else {})


def test_life_after_life() -> None:
    """Kills at all places in turn, nothing repaired between but by the next life itself."""
    rig = Rig()
    lives = 28
    for life in range(lives):
        die(rig, 1 + life % 7, 1, rig.frames(5))
    rig.node.take_over()
    rig.leave()
    metrics = rig.node.metrics()
    assert rig.drops() == only(Verdict.DROP_CRASH, metrics.dropped["drop_crash"])
    assert metrics.received == 5 * lives
    assert metrics.crash_uncertain <= 10 * lives // 7
    assert rig.receive(*rig.frames(3)) == rig.drops()
    assert len(rig.leave()) == 3


def test_a_refused_strategy_does_not_outlive_its_refusal() -> None:
    rig = Rig()
    ask_mixing(rig.node.page, b"no pickle at all")
    rig.step()
    assert int(rig.node.page["mixing"]["error_size"][0]) > 0
    rig.node.take_over()
    rig.receive(*rig.frames(2))
    assert len(rig.leave()) == 2
    assert int(rig.node.page["mixing"]["applied"][0]) == int(rig.node.page["mixing"]["generation"][0])
