"""Packets that the node makes itself: from control's ring into the pool and out, and the ids of loops back; over kills too."""

import gc
import os
import signal

import numpy as np
import oracle
import pytest
from road_rig import DOWNSTREAM, Rig, only, small_plan

from fastmix.config import MixingConfig
from fastmix.packet.geometry import GEOMETRIES
from fastmix.packet.slots import OWN
from fastmix.packet.verdict import Verdict
from fastmix.seam.originate import MARK_SIZE, ORIGIN_ROWS, RETURNED_MAX, OwnPackets
from fastmix.testing import roots_of

POOLED_AT_ONCE = MixingConfig(floor=0, min_batch_size=1, max_batch_size=1000)
RECEIVED, SENT, ORIGINATED, TAKEN = 1, 6, 11, 12
MARK = b"our mark"
NEXT, NOBODY = 2, 0x1234


def own_packets(rig: Rig) -> OwnPackets:
    return OwnPackets(rig.node.page["cover"])


def offer(rig: Rig, n: int, next_index: int = NEXT, wait_ns: int = 5_000_000, key_slot: int = 7) -> list[bytes]:
    """Packets with contents of their own, in the ring as far as they fit."""
    own, rng = own_packets(rig), np.random.default_rng(rig.made)
    packets = rng.integers(0, 256, (n, rig.plan.network.geometry.packet_size), np.uint8)
    rig.made += 1
    return [packet.tobytes() for packet in packets if own.offer(next_index, key_slot, rig.now_ns + wait_ns, packet)]


def opened(rig: Rig, datagrams: list[bytes]) -> list[tuple[int, bytes]]:
    """(key slot, packet) of frames that the node has sent downstream."""
    root = next(root for root in roots_of(rig.plan, NEXT) if root.peer[12] == rig.number)
    found = [oracle.open_frame(root.recv_root, datagram) for datagram in datagrams]
    return [(each.key_slot, each.packet) for each in found]


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=str)
def test_they_join_the_pool_and_leave_at_their_deadlines(geometry) -> None:
    rig = Rig(plan=small_plan(geometry))
    packets = offer(rig, 5)
    assert rig.step() == []
    metrics = rig.node.metrics()
    assert (metrics.originated, metrics.pooled, metrics.received) == (5, 5, 0)
    assert rig.step(4_900_000) == []
    left = rig.step(100_000)
    assert {place for place, _ in left} == {DOWNSTREAM}
    assert sorted(opened(rig, [datagram for _, datagram in left])) == sorted((7, packet) for packet in packets)
    assert rig.drops() == {}
    assert rig.node.metrics().forwarded == 5


def test_a_full_ring_takes_no_more_and_goes_on_when_it_is_read() -> None:
    rig = Rig()
    assert len(offer(rig, ORIGIN_ROWS + 9)) == ORIGIN_ROWS
    assert own_packets(rig).room == 0
    rig.step()
    assert own_packets(rig).room == ORIGIN_ROWS
    assert own_packets(rig).taken == own_packets(rig).offered == ORIGIN_ROWS
    assert len(offer(rig, 3)) == 3
    assert len(rig.leave()) == ORIGIN_ROWS + 3
    assert rig.drops() == {}


def test_without_room_they_wait_in_the_ring() -> None:
    rig = Rig(options={"pool_slots": 64})
    offer(rig, 100, wait_ns=50_000_000)
    rig.step()
    metrics = rig.node.metrics()
    assert metrics.pooled == metrics.originated < 100
    assert own_packets(rig).taken == metrics.originated
    assert len(rig.leave()) == 100
    assert rig.drops() == {}


def test_what_cannot_leave_is_a_drop() -> None:
    rig = Rig(plan=small_plan(classes=2), options={"pool_slots": 64})
    offer(rig, 3, NOBODY)
    rig.step()
    assert rig.drops() == only(Verdict.DROP_NO_LINK, 3)
    offer(rig, 56, 4, wait_ns=50_000_000)
    rig.step()
    assert rig.drops() == {"drop_no_link": 3, "drop_pool_full": 28}, "each class has half of the pool"
    assert len(rig.leave()) == 28


def test_a_drain_takes_none() -> None:
    rig = Rig()
    rig.node.page["command"]["drain"] = 1
    offer(rig, 3)
    rig.step()
    assert rig.node.metrics().originated == 0
    assert own_packets(rig).taken == 0


def test_a_place_that_was_not_shown_is_not_read() -> None:
    """As a control that is killed while it writes leaves it; the next one writes there."""
    rig = Rig()
    rig.node.page["cover"]["origins"][0, 0]["packet"] = 0x5A
    rig.step()
    assert rig.node.metrics().originated == 0
    packets = offer(rig, 1)
    rig.step()
    assert [packet for _, packet in opened(rig, [datagram for _, datagram in rig.leave()])] == packets


def test_they_count_for_the_floor_as_one_link_never_does() -> None:
    rig = Rig(mixing=MixingConfig(floor=10, min_batch_size=1))
    offer(rig, 12, wait_ns=400_000_000)
    rig.step()
    assert (rig.node.arena["ingress"][rig.node.arena["state"] != 0] == OWN).all()
    assert rig.node.plane.pool.counted == 12


def returning(rig: Rig, *ids: bytes) -> None:
    for each in ids:
        rig.push(rig.peer.frame(rig.packet(b"\x04\xff" + each)))
    rig.step()


def test_ids_of_loops_come_back_to_control_and_those_of_strangers_do_not() -> None:
    rig = Rig()
    own = own_packets(rig)
    ours = [MARK + bytes([at] * MARK_SIZE) for at in range(3)]
    returning(rig, ours[0])
    assert own.returned() == ([], False), "nobody waits for any"
    own.begin(MARK)
    returning(rig, bytes(16), ours[0], b"some other id, 1", ours[1], ours[2])
    assert own.returned() == (ours, False)
    assert own.returned() == ([], False)
    assert rig.drops() == {}
    assert rig.node.metrics().absorbed_cover == 6
    returning(rig, ours[0])
    own.begin(b"its next")
    returning(rig, ours[1])
    assert own.returned() == ([], False), "the next control waits for others"


def test_more_ids_than_anybody_reads() -> None:
    rig = Rig()
    own = own_packets(rig)
    own.begin(MARK)
    rig.node.page["cover"]["returned"] += RETURNED_MAX - 2
    returning(rig, *(MARK + bytes([at] * MARK_SIZE) for at in range(5)))
    ids, more = own.returned()
    assert len(ids) == RETURNED_MAX
    assert more
    assert rig.drops() == {}
    returning(rig, MARK + bytes(MARK_SIZE))
    assert own.returned() == ([MARK + bytes(MARK_SIZE)], False)


@pytest.mark.parametrize("mark", [bytes(8), b"short"])
def test_no_mark(mark) -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        own_packets(Rig()).begin(mark)


def die(rig: Rig, place: int) -> None:
    """A forked data plane takes the node over and kills itself at `place`, at the first packets of the node's own."""
    pid = os.fork()
    if pid == 0:
        gc.disable()  # memory that is not inherited must not be unmapped: something else may lie there by now
        before = rig.node.plane
        rig.node.take_over()
        assert before is not rig.node.plane
        rig.node.plane.road.kill_at(place, 1)
        rig.step()
        rig.step(1_000_000_000)
        os._exit(7)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    rig.now_ns += 1_000_000_000


@pytest.mark.parametrize(
    ("place", "lost", "left"), [(ORIGINATED, 20, 20), (TAKEN, 20, 0), (SENT, 20, 0)], ids=["originated", "taken", "sent"]
)
def test_a_killed_mixer_leaves_an_exact_account_and_sends_none_twice(place, lost, left) -> None:
    rig = Rig(mixing=POOLED_AT_ONCE)
    packets = offer(rig, 20)
    die(rig, place)
    rig.node.take_over()
    sent = [packet for _, packet in opened(rig, [datagram for _, datagram in rig.leave()])]
    assert rig.drops() == only(Verdict.DROP_CRASH, lost)
    metrics = rig.node.metrics()
    assert metrics.originated == lost + left
    assert sorted(sent) == (sorted(packets) if left else [])
    assert own_packets(rig).taken == 20


def test_life_after_life_with_packets_of_others() -> None:
    rig = Rig(mixing=POOLED_AT_ONCE)
    for life in range(12):
        rig.push(*rig.frames(3))
        offer(rig, 4)
        die(rig, (ORIGINATED, TAKEN, RECEIVED, SENT)[life % 4])
        rig.node.io.pop_sent()
    rig.node.take_over()
    rig.leave()
    rig.drops()
    offer(rig, 4)
    rig.step()
    assert len(rig.leave()) == 4
