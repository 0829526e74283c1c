"""Every way a packet can end in a node, each made to happen by the datagram that makes it happen."""

import random
import re
from pathlib import Path

import edwards
import pytest
from crafted import crafted
from road_rig import AT_ONCE, CLIENT_PLACE, DOWNSTREAM, Rig, only, small_plan

from fastmix.packet.geometry import COUNTER_END, GEOMETRIES, HEADER_SIZE, JUMBO, WAN
from fastmix.packet.verdict import DROPS, Verdict
from fastmix.seam.layout import NEVER_NS

P = 2**255 - 19
GEOMETRY = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=str)
ORDER_8 = 325606250916557431795983626356110631294008115727848805560023387167927233504
LOW_ORDER = [0, 1, P - 1, ORDER_8, 39382357235489614581723060781553021112529911719440698176882885853963445705823]


def untouched(rig: Rig) -> bool:
    """True if no packet has ever had a row: nothing was decrypted, so nothing was unwrapped."""
    arena, links = rig.node.arena, rig.node.page["links"]
    return not (arena["rows"].any() or arena["tag"].any() or links["window"]["top"].any())


@GEOMETRY
def test_wrong_lengths_cost_a_comparison(geometry) -> None:
    rig = Rig(plan=small_plan(geometry))
    others = {each.frame_size for each in GEOMETRIES.values()}
    near = {geometry.packet_size, geometry.frame_size - 1, geometry.frame_size + 1}
    sizes = sorted({0, 1, 4, 31, 32, 1472, 65507} | near - others)
    whole = rig.frames(1)[0]
    assert rig.receive(*((whole * 60)[:size] for size in sizes)) == only(Verdict.DROP_LENGTH, len(sizes))
    assert untouched(rig)


@pytest.mark.parametrize(("ours", "theirs"), [(WAN, JUMBO), (JUMBO, WAN)], ids=str)
def test_the_other_geometry_is_named(ours, theirs) -> None:
    rig = Rig(plan=small_plan(ours))
    assert rig.receive(Rig(plan=small_plan(theirs)).frames(1)[0]) == only(Verdict.DROP_OTHER_GEOMETRY, 1)
    assert untouched(rig)


def test_strangers_are_not_known() -> None:
    rig = Rig()
    random_ = random.Random(1)
    assert rig.receive(*(random_.randbytes(WAN.frame_size) for _ in range(500))) == only(Verdict.DROP_UNKNOWN_INDEX, 500)
    assert untouched(rig)


@GEOMETRY
def test_a_changed_bit_in_any_byte_of_a_frame(geometry) -> None:
    rig = Rig(plan=small_plan(geometry))
    frame = rig.frames(1)[0]
    random_ = random.Random(2)
    flipped = []
    for at in range(len(frame)):
        changed = bytearray(frame)
        changed[at] ^= 1 << random_.randrange(8)
        flipped.append(bytes(changed))
    assert rig.receive(*flipped) == {"drop_unknown_index": 4, "drop_link_auth": len(frame) - 4}
    assert untouched(rig)
    assert rig.receive(frame) == rig.drops()
    assert rig.node.metrics().pooled == 1, "the frame itself is still good: forgeries have not moved the window"


def test_forged_counters_are_forgeries() -> None:
    """Whatever the masked counter says, up to 2^64 - 1: a frame that its peer has not sealed is not authentic."""
    rig = Rig()
    index = rig.peer.root.receiver_index_out.to_bytes(4, "little")
    random_ = random.Random(3)
    forged = [index + counter + random_.randbytes(WAN.frame_size - 12) for counter in (bytes(8), b"\xff" * 8, b"\0\0\0\x80" * 2)]
    forged += [index + random_.randbytes(WAN.frame_size - 4) for _ in range(300)]
    good = rig.peer.frame(rig.packet(), step=5, seq=5)
    forged += [good[:4] + bytes(a ^ b for a, b in zip(good[4:12], mask.to_bytes(8, "little"), strict=True)) + good[12:]
               for mask in (1, 1 << 31, 1 << 63, 2**64 - 1)]  # fmt: skip
    assert rig.receive(*forged) == only(Verdict.DROP_LINK_AUTH, len(forged))
    assert untouched(rig)


def test_sealed_counters_beyond_the_end() -> None:
    rig = Rig()
    ends = [(0, COUNTER_END), (COUNTER_END, 0), (2**32 - 1, 2**32 - 1), (0, 2**32 - 1), (2**32 - 1, 0)]
    frames = [rig.peer.frame(rig.packet(), step=step, seq=seq) for step, seq in ends]
    assert rig.receive(*frames) == only(Verdict.DROP_LINK_EXHAUSTED, len(ends))
    assert untouched(rig)
    rig.receive(rig.peer.frame(rig.packet(), step=COUNTER_END - 1, seq=COUNTER_END - 1))
    assert rig.node.metrics().pooled == 1


def test_duplicates() -> None:
    rig = Rig()
    frames = rig.frames(20)
    assert rig.receive(*frames, *frames[::-1]) == only(Verdict.DROP_LINK_REPLAY, 20)
    assert rig.receive(*frames) == only(Verdict.DROP_LINK_REPLAY, 40)
    assert rig.node.metrics().pooled == 20


def test_behind_the_window() -> None:
    rig = Rig()
    packet = rig.packet()
    old = [rig.peer.frame(rig.packet(), seq=seq) for seq in (0, 1807, 1808)]
    assert rig.receive(rig.peer.frame(packet, seq=9999), *old) == only(Verdict.DROP_LINK_OLD, 2)
    assert rig.node.metrics().pooled == 2


def test_a_client_that_sends_too_much() -> None:
    """A second's worth at once, then one packet an interval; nodes are not limited."""
    rig = Rig(number=2, options={"client_rate": 100})
    client = rig.senders[CLIENT_PLACE]

    def cover(n: int) -> list[bytes]:
        return [client.frame(rig.packet(b"\x03\xff")) for _ in range(n)]

    rig.push(*cover(150), place=CLIENT_PLACE)
    assert rig.receive(*rig.frames(150, b"\x03\xff")) == only(Verdict.DROP_LINK_RATE, 49)
    rig.now_ns += 55_000_000
    rig.push(*cover(9), place=CLIENT_PLACE)
    assert rig.receive() == only(Verdict.DROP_LINK_RATE, 53)
    assert rig.node.metrics().absorbed_cover == 150 + 101 + 5


def test_flags_and_padding() -> None:
    rig = Rig()
    frames = [rig.peer.frame(rig.packet(), rest=rest) for rest in (b"\1\0\0", b"\0\1\0", b"\0\0\x80")]
    assert rig.receive(*frames) == only(Verdict.DROP_LINK_FLAGS, 3)


def test_a_full_pool() -> None:
    """An eighth of 16 slots is kept free. No more datagrams are taken than fit: the others wait until there is room."""
    rig = Rig(options={"pool_slots": 16})
    assert rig.receive(*rig.frames(32)) == {}
    assert rig.node.metrics().pooled == 14
    assert rig.node.io.waiting == 18
    assert len(rig.step(1_000_000_000)) == 14
    assert rig.receive() == {}
    assert rig.node.io.waiting == 4
    assert len(rig.leave()) == 18
    assert rig.node.metrics().received == 32


def test_each_class_has_its_share_of_the_pool() -> None:
    """Of 64 slots 56 may be pooled, 28 of each of two classes: one class cannot crowd out the other. Where both are full
    nothing is taken any more."""
    rig = Rig(plan=small_plan(classes=2), options={"pool_slots": 64})
    assert rig.receive(*rig.frames(40, b"\x04\0")) == only(Verdict.DROP_POOL_FULL, 12)
    assert rig.receive(*rig.frames(30, b"\x05\0")) == only(Verdict.DROP_POOL_FULL, 12)
    assert rig.receive(*rig.frames(1, b"\x04\0")) == only(Verdict.DROP_POOL_FULL, 12)
    assert rig.node.io.waiting == 3
    left = rig.leave()
    assert len(left) == 59
    assert {to for to, _ in left} == {DOWNSTREAM}
    rig.receive(*rig.frames(28, b"\x04\0"))
    assert rig.drops() == only(Verdict.DROP_POOL_FULL, 12)


def test_every_verdict_of_a_node_has_its_test() -> None:
    """All but those of a client, drop_crash (test_road_crash.py) and drop_link_gone (test_road_rows.py) are asserted by name in
    this file."""
    text = Path(__file__).read_text()
    elsewhere = {Verdict.DROP_CRASH, Verdict.DROP_LINK_GONE, Verdict.DROP_UNKNOWN_SURB, Verdict.DROP_MESSAGE_FORMAT}
    missing = [each.name for each in DROPS if each not in elsewhere and not re.search(rf"{each.name}\b|\b{each.label}\b", text)]
    assert not missing


def test_draining() -> None:
    rig = Rig()
    rig.receive(*rig.frames(3))
    rig.node.page["command"]["drain"] = 1
    rig.node.plane.drain(rig.now_ns, 2_000_000_000)
    assert rig.receive(*rig.frames(4)) == only(Verdict.DROP_DRAINING, 4)
    assert len(rig.leave()) == 3
    assert rig.drops() == only(Verdict.DROP_DRAINING, 4)


def test_drained() -> None:
    rig = Rig()
    rig.receive(*rig.frames(7))
    rig.node.plane.drop_rest()
    assert rig.drops() == only(Verdict.DROP_DRAINED, 7)
    assert rig.leave() == []


def test_unknown_key_slot() -> None:
    rig = Rig()
    assert rig.receive(rig.peer.frame(rig.packet(), key_slot=7), rig.peer.frame(rig.packet(), key_slot=255)) == only(
        Verdict.DROP_KEY_SLOT, 2
    )
    assert not rig.node.arena["tag"].any()


def test_kx_public_that_is_not_canonical() -> None:
    rig = Rig()
    wrong = [P, P + 1, P + 18, 2**255 - 1, 2**255, 2**255 + 9, 2**256 - 1]
    packet = rig.packet()
    assert rig.receive(*(rig.peer.frame(kx.to_bytes(32, "little") + packet[32:]) for kx in wrong)) == only(
        Verdict.DROP_KX_NON_CANONICAL, len(wrong)
    )


def with_siblings(rig: Rig) -> tuple[bytes, list[bytes]]:
    """A packet, and the 15 others with its shared secret: seven points more, and all eight with the top bit set."""
    packet = rig.packet()
    points = edwards.siblings_of(packet[:32])
    points += [point[:31] + bytes([point[31] | 128]) for point in [packet[:32], *points]]
    return packet, [point + packet[32:] for point in points]


@pytest.mark.parametrize("strict_kx", [False, True])
def test_siblings_after_the_packet(strict_kx) -> None:
    rig = Rig(options={"strict_kx": strict_kx})
    for _ in range(20):
        packet, siblings = with_siblings(rig)
        rig.push(rig.peer.frame(packet), *map(rig.peer.frame, siblings))
    refused = Verdict.DROP_KX_SUBGROUP if strict_kx else Verdict.DROP_REPLAY
    assert rig.receive() == only(Verdict.DROP_KX_NON_CANONICAL, 160) | only(refused, 140)
    assert len(rig.leave()) == 20


def test_siblings_before_the_packet() -> None:
    """Without strict_kx the first sibling passes in the packet's place. With it the packet itself does."""
    for strict_kx, refused in ((True, only(Verdict.DROP_KX_SUBGROUP, 140)), (False, only(Verdict.DROP_REPLAY, 140))):
        rig = Rig(options={"strict_kx": strict_kx})
        for _ in range(20):
            packet, siblings = with_siblings(rig)
            rig.push(*map(rig.peer.frame, siblings), rig.peer.frame(packet))
        assert rig.receive() == only(Verdict.DROP_KX_NON_CANONICAL, 160) | refused
        assert len(rig.leave()) == 20


def test_kx_public_of_low_order() -> None:
    rig = Rig()
    packet = rig.packet()
    frames = [rig.peer.frame(kx.to_bytes(32, "little") + packet[32:]) for kx in LOW_ORDER]
    assert rig.receive(*frames) == only(Verdict.DROP_KX_LOW_ORDER, len(LOW_ORDER))


def test_a_changed_bit_in_any_byte_of_a_header() -> None:
    rig = Rig()
    packet, frames = rig.packet(), []
    for at in range(HEADER_SIZE):
        changed = bytearray(packet)
        changed[at] ^= 0x80 if at == 31 else 1
        frames.append(rig.peer.frame(bytes(changed)))
    assert rig.receive(*frames) == {"drop_kx_non_canonical": 1, "drop_mac": HEADER_SIZE - 1}
    assert rig.node.metrics().pooled == 0
    rig.receive(rig.peer.frame(packet))
    assert rig.node.metrics().pooled == 1, "what failed has left no tag behind"


def test_the_same_packet_again() -> None:
    """In new frames, in one batch and later, and under another encoding of the same shared secret: P + (0, 0) is 1 / u."""
    rig = Rig()
    packet = rig.packet()
    other = pow(int.from_bytes(packet[:32], "little"), -1, P).to_bytes(32, "little") + packet[32:]
    assert other != packet
    assert rig.receive(*(rig.peer.frame(each) for each in (packet, packet, other))) == only(Verdict.DROP_REPLAY, 2)
    changed_payload = packet[:-1] + bytes([packet[-1] ^ 1])
    assert rig.receive(rig.peer.frame(other), rig.peer.frame(changed_payload)) == only(Verdict.DROP_REPLAY, 4)
    assert rig.node.metrics().pooled == 1


def test_a_full_replay_set_refuses() -> None:
    rig = Rig()
    (pair,), road = rig.node.pairs.values(), rig.node.plane.road
    road.use_key(0, pair.whole, pair.secret, pair.replay_key, pair.lines[:1], 0)
    road.key_times(0, 0, NEVER_NS)
    frames = rig.frames(40)
    assert rig.receive(*frames) == only(Verdict.DROP_REPLAY_FULL, 24)
    assert rig.node.metrics().pooled == 16


@pytest.mark.parametrize("code", [0xFF05, 0xFF06, 0xFFFF])
def test_no_such_action(code) -> None:
    rig = Rig()
    assert rig.receive(rig.peer.frame(rig.packet(code.to_bytes(2, "little")))) == only(Verdict.DROP_ACTION, 1)


def test_a_payload_that_was_changed() -> None:
    rig = Rig()
    wrong = crafted(rig.plan.secrets[1], b"\x01\xff", bytes(WAN.payload_size - 1) + b"\1", 77)
    assert rig.receive(rig.peer.frame(wrong)) == only(Verdict.DROP_PAYLOAD_TAG, 1)


def test_a_full_sink_and_cover() -> None:
    rig = Rig()
    assert rig.receive(*rig.frames(150, b"\x01\xff"), *rig.frames(150, b"\x02\xff")) == only(Verdict.DROP_SINK_FULL, 44)
    assert rig.node.metrics().delivered == 256
    rig.receive(*rig.frames(2, b"\x03\xff"), *rig.frames(3, b"\x04\xff"))
    assert rig.node.metrics().absorbed_cover == 5


def test_a_next_hop_without_a_link() -> None:
    rig = Rig()
    indices = [0x1234, 1, 0xFEFF, 3]
    packets = [rig.packet(index.to_bytes(2, "little")) for index in indices] + [rig.packet(b"\x00\xff" + bytes(range(32)))]
    assert rig.receive(*map(rig.peer.frame, packets)) == only(Verdict.DROP_NO_LINK, 5)


def test_a_client_is_reached_where_it_was_last_heard() -> None:
    rig = Rig(number=2)
    client = rig.plan.network.clients[0].peer_id
    rig.receive(*rig.frames(1, b"\x00\xff" + client))
    assert rig.leave() == []
    assert rig.drops() == only(Verdict.DROP_NO_ADDRESS, 1)
    for place in (CLIENT_PLACE, ("10.9.0.2", 4)):
        rig.push(rig.senders[CLIENT_PLACE].frame(rig.packet(b"\x03\xff")), place=place)
        rig.receive(*rig.frames(2, b"\x00\xff" + client))
        assert [to for to, _ in rig.leave()] == [place] * 2
    held_back = rig.senders[CLIENT_PLACE].frame(rig.packet(b"\x03\xff"))
    rig.push(rig.senders[CLIENT_PLACE].frame(rig.packet(b"\x03\xff")), place=("10.9.0.2", 4))
    rig.push(held_back, place=("10.6.6.6", 6))
    rig.receive(*rig.frames(1, b"\x00\xff" + client))
    assert [to for to, _ in rig.leave()] == [("10.9.0.2", 4)], "an older frame moves no client"
    forged = bytearray(rig.senders[CLIENT_PLACE].frame(rig.packet(b"\x03\xff")))
    forged[40] ^= 1
    rig.push(bytes(forged), place=("10.6.6.6", 6))
    rig.receive(*rig.frames(1, b"\x00\xff" + client))
    assert [to for to, _ in rig.leave()] == [("10.9.0.2", 4)], "a forged frame moves no client"


def counters_of(rig: Rig, end: int) -> tuple:
    """The state of the link to `end`."""
    at = list(rig.plan.network.neighbours(rig.number)).index(end)
    return rig.node.page["links"], at


@pytest.mark.parametrize("word", [3 | 1 << 40, 1 << 30 | 2 << 32])
def test_a_link_without_reserved_counters_stalls(word) -> None:
    rig = Rig()
    links, at = counters_of(rig, 2)
    links["send_limit"][at] = word
    left = 0
    for _ in range(6):
        rig.receive(*rig.frames(1))
        left += len(rig.leave())
    assert left == min(word & 0xFFFFFFFF, word >> 32)
    assert rig.drops() == only(Verdict.DROP_LINK_STALLED, 6 - left)
    links["send_limit"][at] = 1 << 30 | 1 << 62
    rig.receive(*rig.frames(1))
    assert len(rig.leave()) == 1


@pytest.mark.parametrize("word", [COUNTER_END, COUNTER_END << 32, COUNTER_END | COUNTER_END << 32])
def test_an_outgoing_root_ends(word) -> None:
    rig = Rig()
    links, at = counters_of(rig, 2)
    links["send_counter"][at] = word
    rig.receive(*rig.frames(2))
    assert rig.leave() == []
    assert rig.drops() == only(Verdict.DROP_LINK_EXHAUSTED, 2)


def test_a_datagram_that_the_kernel_refuses() -> None:
    rig = Rig(options={"ring_size": 8}, mixing=AT_ONCE)
    rig.receive(*rig.frames(8))
    rig.receive(*rig.frames(8))
    rig.now_ns += 1_000_000_000
    rig.node.plane.mix(rig.now_ns)
    assert rig.drops() == only(Verdict.DROP_SEND, 8)
    assert len(rig.node.io.pop_sent()) == 8


def test_what_leaves_is_what_came_unwrapped() -> None:
    """Order of sequence numbers, one step a batch, the key slot copied, the packet as the oracle says."""
    import oracle

    rig = Rig()
    packets = [rig.packet() for _ in range(30)]
    rig.receive(*map(rig.peer.frame, packets))
    expected = {oracle.unwrap(packet, rig.plan.secrets[1]).packet for packet in packets}
    root = Rig(number=1).senders[DOWNSTREAM].root
    opened = [oracle.open_frame(root.recv_root, frame) for to, frame in rig.leave() if to == DOWNSTREAM]
    assert {each.packet for each in opened} == expected
    assert [each.seq for each in opened] == list(range(30))
    assert all(each.verdict == Verdict.OK and each.key_slot == 0 for each in opened)
    assert rig.drops() == {}
