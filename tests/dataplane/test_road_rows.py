"""Link roots that come and go under traffic: rows are begun anew, taken over and left, and no packet is lost by it."""

import time

import pytest
from pool_bench import MS
from road_rig import CLIENT_PLACE, DOWNSTREAM, UPSTREAM, Sender, only, small_plan
from row_rig import CLIENT, DOWN, DROP, OTHER, TO_CLIENT, UP, RowRig

from fastmix.control.link_rows import LinkRows
from fastmix.control.snapshot import publish_links
from fastmix.packet.geometry import GEOMETRIES
from fastmix.packet.slots import SlotState
from fastmix.packet.verdict import Verdict
from fastmix.seam.address import pack_address


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_a_first_root_carries_both_ways(geometry) -> None:
    rig = RowRig(plan=small_plan(geometry))
    row, down = rig.link(DOWN)
    rig.publish()
    assert rig.receive(down.frame(rig.packet(DROP))) == {}, "frames are taken before the acknowledgement"
    assert rig.receive(down.frame(rig.packet())) == only(Verdict.DROP_NO_LINK, 1), "and nothing leaves before it"
    assert rig.rows.acked(row, rig.now_ns)
    rig.publish()
    rig.receive(down.frame(rig.packet()))
    left = rig.leave()
    assert [to for to, _ in left] == [DOWNSTREAM]
    assert rig.read(left) == [row]


def test_both_roots_are_taken_while_both_are_live() -> None:
    rig = RowRig()
    old, _ = rig.joined(UP, DOWN)
    row, new = rig.link(UP)
    rig.publish()
    assert rig.receive(old.frame(rig.packet()), new.frame(rig.packet())) == {}
    assert rig.rows.acked(row, rig.now_ns)
    rig.publish()
    assert rig.receive(old.frame(rig.packet()), new.frame(rig.packet())) == {}
    rig.rows.expire(rig.now_ns + rig.rows.overlap_ns)
    rig.publish()
    assert rig.receive(old.frame(rig.packet()), new.frame(rig.packet())) == only(Verdict.DROP_UNKNOWN_INDEX, 1)
    assert len(rig.leave()) == 5


def test_what_waits_leaves_by_the_newest_root() -> None:
    """Also where the root that it was given has ended meanwhile, and its row is another peer's."""
    rig = RowRig()
    up, _ = rig.joined(UP, DOWN)
    first = rig.rows.sending(DOWN)
    rig.receive(*(up.frame(rig.packet()) for _ in range(20)))
    for _ in range(3):
        row, _ = rig.link(DOWN)
        assert rig.rows.acked(row, rig.now_ns)
        rig.publish()
        rig.rows.expire(rig.now_ns + rig.rows.overlap_ns)
        rig.publish()
    other, _ = rig.link(OTHER)
    assert other.row == first.row
    rig.publish()
    assert rig.read(rig.leave()) == [row] * 20
    assert rig.drops() == {}


def test_what_waits_for_a_peer_that_is_gone() -> None:
    rig = RowRig()
    up, _ = rig.joined(UP, DOWN)
    rig.receive(*(up.frame(rig.packet()) for _ in range(5)))
    rig.rows.drop_peer(DOWN)
    rig.publish()
    assert rig.leave() == []
    assert rig.drops() == only(Verdict.DROP_LINK_GONE, 5)
    assert rig.receive(up.frame(rig.packet())) == {"drop_link_gone": 5, "drop_no_link": 1}


def test_what_leaves_before_every_thread_has_the_snapshot() -> None:
    """The mixer has it: packets leave by the new root, though they still wait for the old one."""
    rig = RowRig(options={"workers": 2})
    up, _ = rig.joined(UP, DOWN)
    rig.push(*(up.frame(rig.packet()) for _ in range(5)))
    rig.step()
    row, _ = rig.link(DOWN)
    assert rig.rows.acked(row, rig.now_ns)
    rig.rows.expire(row.until_ns - 1)
    assert len(list(rig.rows)) == 3, "the one before is a hole"
    publish_links(rig.node.snapshot, rig.rows, rig.routes)
    rig.now_ns += 1_000_000_000
    rig.node.plane.look(rig.now_ns, rig.now_ns)
    rig.node.plane.mix(rig.now_ns)
    assert rig.read([(None, frame) for _, frame in rig.node.io.pop_sent()]) == [row] * 5
    assert not rig.node.plane.road.adopted


def test_a_client_is_found_under_its_next_root() -> None:
    rig = RowRig()
    up, client = rig.joined(UP, CLIENT)
    rig.push(client.frame(rig.packet(DROP)), place=CLIENT_PLACE)
    rig.receive(up.frame(rig.packet(TO_CLIENT)))
    row, new = rig.link(CLIENT)
    assert rig.rows.acked(row, rig.now_ns)
    rig.publish()
    rig.receive(up.frame(rig.packet(TO_CLIENT)))
    left = rig.leave()
    assert [to for to, _ in left] == [CLIENT_PLACE] * 2
    assert rig.read(left) == [row] * 2
    held_back, moved = client.frame(rig.packet(DROP)), ("10.9.0.7", 7)
    rig.push(new.frame(rig.packet(DROP)), place=moved)
    rig.push(held_back, place=("10.6.6.6", 6))
    rig.receive(up.frame(rig.packet(TO_CLIENT)))
    assert [to for to, _ in rig.leave()] == [moved], "a frame under an older root moves no client"
    rig.rows.drop_peer(CLIENT)
    rig.publish()
    rig.joined(OTHER, CLIENT)
    rig.receive(up.frame(rig.packet(TO_CLIENT)))
    assert rig.leave() == []
    assert rig.drops() == only(Verdict.DROP_NO_ADDRESS, 1), "nobody is where another one was"


def switch(rig: RowRig, peer: bytes) -> Sender:
    """A whole renewal: both roots, the acknowledgement, the end of what is over."""
    rig.rows.expire(rig.now_ns)
    if rig.rows.changed:
        rig.publish()
    row, sender = rig.link(peer)
    rig.publish()
    assert rig.rows.acked(row, rig.now_ns)
    rig.publish()
    return sender


@pytest.mark.parametrize("workers", [1, 2])
def test_a_thousand_renewals_lose_nothing(workers) -> None:
    """Both neighbours renew by turns, packets come under both roots and wait over many renewals; control is killed at times."""
    rig = RowRig(rows=LinkRows(overlap_ns=3 * MS), options={"workers": workers})
    old, _ = rig.joined(UP, DOWN)
    up, left, n = old, [], 0
    for turn in range(500):
        frames = [up.frame(rig.packet()), old.frame(rig.packet())]
        for worker, frame in enumerate(frames):
            assert rig.node.ios[worker % workers].push(frame, pack_address(*UPSTREAM))
        n += 2
        switch(rig, DOWN)
        old, up = up, switch(rig, UP)
        left += rig.step(2 * MS)
        if turn % 50 == 49:
            rig.next_control()
            left += rig.step(4 * MS)  # it gives all overlaps anew, for it does not know when they began
            old = up
    left += rig.leave()
    assert len(left) == n
    assert rig.drops() == {}
    assert {row.peer for row in rig.read(left)} == {DOWN}
    assert rig.rows.last_serial == 1002


def test_renewals_while_threads_receive() -> None:
    """Two workers take frames for life; what they give to the row before is moved, whenever they come to the next snapshot."""
    rig = RowRig(now_ns=time.monotonic_ns(), options={"workers": 2, "batch": 8}, rows=LinkRows(overlap_ns=0))
    up, _ = rig.joined(UP, DOWN)
    n, left = 1500, []
    for number in range(n):
        assert rig.node.ios[number % 2].push(up.frame(rig.packet()), pack_address(*UPSTREAM))
    node, switches = rig.node, 0
    give_up = time.monotonic() + 60
    node.plane.start()
    while node.metrics().forwarded < n:
        rig.now_ns = time.monotonic_ns()
        assert time.monotonic() < give_up
        if int(node.page["process"]["adopted"][0]) == int(node.snapshot["snapshot"]["generation"][0]):
            rig.rows.adopted(int(node.page["process"]["adopted"][0]))
            row, _ = rig.link(DOWN)
            assert rig.rows.acked(row, rig.now_ns)
            rig.rows.expire(rig.now_ns)
            publish_links(node.snapshot, rig.rows, rig.routes)
            switches += 1
        node.plane.look(rig.now_ns, rig.now_ns)
        node.plane.mix(rig.now_ns)
        left += [(None, frame) for _, frame in node.io.pop_sent()]
    node.plane.stop()
    assert switches > 10
    assert rig.drops() == {}
    assert len(rig.read(left)) == n


def test_packets_of_a_peer_count_as_one_peers_whatever_the_root() -> None:
    """Else it could fill the floor with each new root."""
    rig = RowRig()
    up, _, other = rig.joined(UP, DOWN, OTHER)
    for _ in range(4):
        rig.receive(up.frame(rig.packet()), other.frame(rig.packet()))
        up = switch(rig, UP)
        rig.rows.expire(rig.now_ns + rig.rows.overlap_ns)
    waiting = rig.node.arena["ingress"][rig.node.arena["state"] == SlotState.POOLED]
    assert sorted(waiting) == [rig.rows.sending(UP).ingress] * 4 + [rig.rows.sending(OTHER).ingress] * 4


def test_a_peers_rate_is_one_over_its_roots() -> None:
    rig = RowRig(rate=100)
    old, client = rig.joined(UP, CLIENT)
    row, new = rig.link(CLIENT)
    rig.publish()
    frames = [sender.frame(rig.packet(DROP)) for sender in (client, new) for _ in range(101)]
    assert rig.receive(*frames) == only(Verdict.DROP_LINK_RATE, 101)
    assert rig.rows.acked(row, rig.now_ns)
    rig.publish()
    assert rig.receive(new.frame(rig.packet(DROP))) == only(Verdict.DROP_LINK_RATE, 102)
    assert rig.receive(old.frame(rig.packet(DROP))) == only(Verdict.DROP_LINK_RATE, 102), "others have theirs"
