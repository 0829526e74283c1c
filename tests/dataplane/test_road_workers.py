"""Several workers on one arena, one pool, one state per link: in turn, and as threads at the same time."""

import random
import time

import numpy as np
import pytest
from road_rig import CLIENT_PLACE, UPSTREAM, Rig, only

from fastmix.control.snapshot import SnapshotKey, publish_snapshot
from fastmix.packet.verdict import Verdict
from fastmix.seam.address import pack_address
from fastmix.seam.counters import CounterPage
from fastmix.testing import roots_of

N = 80


def rig_of(workers: int = 2, **options) -> Rig:
    return Rig(options={"workers": workers, **options})


def push_to(rig: Rig, worker: int, frames: list[bytes], place=UPSTREAM) -> None:
    for frame in frames:
        assert rig.node.ios[worker].push(frame, pack_address(*place))


def test_frames_of_one_link_at_two_workers() -> None:
    """A train lands anywhere: window and replay set are one for all."""
    rig = rig_of()
    frames = rig.frames(N)
    push_to(rig, 0, frames[::2])
    push_to(rig, 1, frames[1::2])
    rig.step()
    assert rig.drops() == {}
    push_to(rig, 0, frames[1::2])
    push_to(rig, 1, frames[::2])
    rig.step()
    assert rig.drops() == only(Verdict.DROP_LINK_REPLAY, N)
    assert len(rig.leave()) == N
    assert rig.drops() == only(Verdict.DROP_LINK_REPLAY, N)


def test_one_packet_in_two_frames_at_two_workers() -> None:
    rig = rig_of()
    packets = [rig.packet() for _ in range(50)]
    for worker in (0, 1):
        push_to(rig, worker, [rig.peer.frame(packet) for packet in packets])
    rig.step()
    assert rig.drops() == only(Verdict.DROP_REPLAY, 50)
    assert len(rig.leave()) == 50


def test_one_pool_and_one_limit() -> None:
    rig = rig_of(pool_slots=64)
    push_to(rig, 0, rig.frames(40))
    push_to(rig, 1, rig.frames(40))
    rig.step()
    assert rig.node.metrics().pooled == 56
    assert [io.waiting for io in rig.node.ios] == [0, 24]
    assert len(rig.leave()) == 80


def test_a_client_is_heard_by_any_worker() -> None:
    """Its address and its rate are the link's, not the worker's."""
    rig = Rig(number=2, options={"workers": 2, "client_rate": 100})
    client = rig.senders[CLIENT_PLACE]
    peer_id = rig.plan.network.clients[0].peer_id
    for worker in (0, 1):
        push_to(rig, worker, [client.frame(rig.packet(b"\x03\xff")) for _ in range(101)], CLIENT_PLACE)
    rig.step()
    assert rig.drops() == only(Verdict.DROP_LINK_RATE, 101)
    moved = ("10.9.0.1", 10)
    rig.now_ns += 1_000_000_000
    push_to(rig, 1, [client.frame(rig.packet(b"\x03\xff"))], moved)
    rig.push(*rig.frames(1, b"\x00\xff" + peer_id))
    rig.step()
    assert [to for to, _ in rig.leave()] == [moved]


@pytest.mark.parametrize("workers", [2, 4])
def test_threads_take_each_packet_once(workers) -> None:
    """All frames at every worker, in another order, each packet in two frames: every number and every packet passes once."""
    rig = rig_of(workers)
    packets = [rig.packet() for _ in range(N)]
    frames = [rig.peer.frame(packet) for packet in packets] + [rig.peer.frame(packet) for packet in packets]
    for worker in range(workers):
        order = frames.copy()
        random.Random(worker).shuffle(order)
        push_to(rig, worker, order)
    threads = rig.node.plane.start()
    assert len(set(threads)) == workers
    give_up = time.monotonic() + 30
    while rig.node.metrics().received < workers * len(frames):
        assert rig.node.metrics().conservation == 0
        assert time.monotonic() < give_up
    rig.node.plane.stop()
    counters = CounterPage(rig.node.page.bytes("counters"))
    assert counters.received_by_worker(workers) == (len(frames),) * workers
    rig.now_ns = time.monotonic_ns()
    drops = rig.drops()
    assert drops == {"drop_link_replay": (workers - 1) * len(frames), "drop_replay": N}
    assert len(rig.leave()) == N
    assert rig.drops() == drops


def test_a_snapshot_is_taken_by_all_before_the_next() -> None:
    """The copy before the current one is left alone until every worker has come to the current one."""
    rig = rig_of()
    node, plan = rig.node, rig.plan

    def publish() -> None:
        publish_snapshot(node.snapshot, plan.network, [SnapshotKey(next(iter(node.pairs)))], roots_of(plan, 1), 4096)

    def adopted() -> int:
        return int(node.page["process"]["adopted"][0])

    rig.step()
    node.plane.adopt()
    assert adopted() == 1
    publish()
    assert node.plane.adopt()
    assert not node.plane.adopt()
    assert adopted() == 1, "no worker has come by yet"
    rig.step()
    publish()
    assert node.plane.adopt()
    assert adopted() == 2
    publish()
    assert not node.plane.adopt(), "somebody may still use the copy before the last"
    rig.step()
    assert node.plane.adopt()
    rig.receive(*rig.frames(5))
    assert len(rig.leave()) == 5


def test_counters_of_another_number_of_workers_go_on() -> None:
    """The next life sums up what the threads of the one before have shown."""
    rig = rig_of(3)
    for worker in range(3):
        push_to(rig, worker, rig.frames(10 + worker))
    rig.step()
    counters = CounterPage(rig.node.page.bytes("counters"))
    assert counters.received_by_worker(3) == (10, 11, 12)
    rig.node.ios = rig.node.ios[:1]
    rig.node.take_over()
    assert counters.received_by_worker(1) == (33,)
    metrics = rig.node.metrics()
    assert (metrics.received, metrics.pooled, metrics.conservation) == (33, 33, 0)
    assert np.count_nonzero(rig.node.page["counters"]["page"]["generation"][0, 0]) == 1
    assert len(rig.leave()) == 33
    assert rig.drops() == {}
