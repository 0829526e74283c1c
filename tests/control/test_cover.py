"""Loops of a node, on a virtual clock: their times, their ways, their keys, what becomes of them, what is raised."""

import random
from collections import Counter

import numpy as np
import pytest

from fastmix import sphinx
from fastmix.config import CoverConfig
from fastmix.control.cover import AHEAD_NS, RAISE_MOST, CoverRates, LoopCover
from fastmix.control.loop_routes import LoopRoutes
from fastmix.keys.slots import SlotTimes
from fastmix.packet.geometry import JUMBO, WAN, Action
from fastmix.packet.verdict import Verdict
from fastmix.plan import NetworkPlan, plan_network
from fastmix.seam.originate import COVER, ORIGIN_ROWS, RETURNED_MAX, OwnPackets

MS, S = 1_000_000, 1_000_000_000
UNIX_NS = 1_800_000_000 * S


def plan(per_layer: int = 2, *, loops: bool = True, geometry=WAN, classes: int = 1) -> NetworkPlan:
    layers = [[(f"10.0.{layer}.{at}", 9000 + at) for at in range(per_layer)] for layer in range(3)]
    entropy = random.Random(8).randbytes
    return plan_network(layers, 1, loops=loops, geometry=geometry, classes=classes, entropy=entropy)


class Site:
    """One node's cover, and the mixer's end of its rings."""

    def __init__(
        self, of: NetworkPlan | None = None, number: int = 0, *, rate: float = 1.0, fill: float = 0.0, seed: int = 1
    ) -> None:
        self.plan = of or plan()
        network = self.plan.network
        self.ring = np.zeros(1, COVER)
        self.routes = LoopRoutes(network, number, lambda other, _slot: network.node(other).sphinx_public)
        rates = CoverRates(rate, fill, 0.01, 500 * MS)
        self.cover = LoopCover(OwnPackets(self.ring), rates, random.Random(seed), self.routes)
        self.now_ns = 0
        self.number = number

    def tick(self, makes: bool = True) -> int:
        self.now_ns += 100 * MS
        return self.cover.tick(self.now_ns, UNIX_NS + self.now_ns, makes=makes)

    def take(self) -> list[np.void]:
        """All that waits in the ring, as the mixer takes it."""
        first, end = int(self.ring["taken"][0]), int(self.ring["offered"][0])
        self.ring["taken"] = end
        return [self.ring["origins"][0, at % ORIGIN_ROWS].copy() for at in range(first, end)]

    def carry(self, origin: np.void) -> tuple[tuple[int, ...], bytes]:
        """A loop along its way: the nodes that it goes over, and its id at the end."""
        packet = origin["packet"][: self.plan.network.geometry.packet_size].reshape(1, -1)
        at, hops = int(origin["next_index"]), []
        while True:
            node, _ = self.plan.network.node_of_index(at)
            hops.append(node.number)
            taken = sphinx.unwrap(packet, self.plan.secrets[node.number], geometry=self.plan.network.geometry)
            assert taken.verdict[0] == Verdict.OK
            if taken.action[0] >= Action.FORWARD_PEER:
                assert taken.action[0] == Action.COVER_ID
                return tuple(hops), taken.surb_id[0].tobytes()
            packet, at = taken.packets, int(taken.next_index[0])

    def bring_back(self, each: bytes) -> None:
        at = int(self.ring["returned"][0])
        self.ring["ids"][0, at % RETURNED_MAX] = np.frombuffer(each, np.uint8)
        self.ring["returned"] += 1

    def counts(self) -> tuple[int, ...]:
        return tuple(int(self.ring[name][0]) for name in ("loops_sent", "loops_returned", "loops_lost"))


@pytest.mark.parametrize("geometry", [WAN, JUMBO], ids=str)
@pytest.mark.parametrize("number", [0, 2, 5])
def test_a_loop_goes_around_all_layers_and_ends_where_it_began(number, geometry) -> None:
    site = Site(plan(geometry=geometry, classes=2), number, rate=20)
    layers, classes = Counter[tuple[int, ...]](), set()
    for _ in range(20):
        site.tick()
        for origin in site.take():
            hops, each = site.carry(origin)
            assert hops[-1] == number
            assert each.startswith(site.cover._mark)
            classes.add(int(origin["next_index"]) % 2)
            layers[tuple(site.plan.network.node(hop).layer for hop in hops)] += 1
    layer = site.plan.network.node(number).layer
    assert set(layers) == {{1: (2, 3, 1), 2: (3, 1, 2), 3: (1, 2, 3)}[layer]}
    assert classes == {0, 1}


def test_loops_are_a_poisson_process() -> None:
    """Deadlines less delays: as many as the rate says, variance as the mean, no comb of ticks."""
    site = Site(rate=30)
    due = []
    for _ in range(2000):
        site.tick()
        due += [int(origin["due_ns"]) for origin in site.take()]
        for each in site.cover._under_way:
            site.bring_back(each)
    n = len(due)
    assert abs(n - 6000) < 5 * 6000**0.5
    a_second = np.bincount(np.array(due) // S)[1:-2]
    assert 0.7 < a_second.var() / a_second.mean() < 1.4
    phases = np.histogram(np.array(due) % (100 * MS), 10)[0]
    assert ((phases - n / 10) ** 2 / (n / 10)).sum() < 40
    assert min(due) > AHEAD_NS / 2


def test_those_that_come_back_are_returned_and_the_others_lost() -> None:
    site = Site(rate=5)
    ids = []
    for _ in range(100):
        site.tick()
        for origin in site.take():
            ids.append(site.carry(origin)[1])
            if len(ids) % 4:
                site.bring_back(ids[-1])
                site.bring_back(ids[-1])
        site.bring_back(bytes(16))
    for _ in range(70):
        site.tick(makes=False)
    lost = len(ids) // 4
    assert site.counts() == (len(ids), len(ids) - lost, lost)
    assert site.cover.under_way == 0


def test_a_loop_that_waits_in_the_ring_is_not_missed() -> None:
    site = Site(rate=5)
    while not site.tick():
        continue
    for _ in range(100):
        site.tick(makes=False)
    assert site.counts()[2] == 0
    site.take()
    for _ in range(30):
        site.tick(makes=False)
    assert site.counts()[2] == 0, "its time begins now"
    for _ in range(30):
        site.tick(makes=False)
    assert site.counts()[2] == site.counts()[0] > 0


def test_loss_raises_cover_up_to_a_bound_and_goes_back() -> None:
    site = Site(rate=2)
    highest = 0
    for _ in range(300):
        site.tick()
        site.take()
        highest = max(highest, site.cover.raised)
    assert site.cover.is_alarmed
    assert highest == RAISE_MOST
    assert site.cover.rate == 2 * RAISE_MOST
    for _ in range(900):
        site.tick()
        for origin in site.take():
            site.bring_back(site.carry(origin)[1])
    assert not site.cover.is_alarmed
    assert site.cover.raised == 1


def test_missing_residents_are_made_at_once_and_at_a_bounded_rate() -> None:
    site = Site(rate=0, fill=20)
    site.ring["missing"] = 10
    assert site.tick() == 10
    assert site.tick() == 0, "they wait in the ring"
    made = 10
    for _ in range(100):
        site.take()
        made += site.tick()
    assert 200 <= made <= 224
    site.ring["missing"] = 0
    site.take()
    assert site.tick() == 0


def test_a_node_that_stood_still_does_not_make_up_for_it() -> None:
    site = Site(rate=100)
    site.tick()
    site.take()
    site.now_ns += 3600 * S
    assert site.tick() <= 40
    full = Site(rate=1000)
    for _ in range(9):
        full.tick()
    assert full.counts()[0] == int(full.ring["offered"][0]) == ORIGIN_ROWS


def test_loops_over_a_node_that_has_just_come_are_not_judged() -> None:
    site = Site(rate=20)
    network = site.plan.network
    avoid = {2}
    public = site.routes.public
    site.cover.set_routes(LoopRoutes(network, 0, public, avoid=avoid), site.now_ns, settles=False)
    site.cover.set_routes(LoopRoutes(network, 0, public), site.now_ns)
    for _ in range(80):
        site.tick()
        site.take()
    for _ in range(70):
        site.tick(makes=False)
    assert site.counts()[2] == site.counts()[0]
    assert 2 not in site.cover.loss.figures()
    assert {3, 4, 5} == set(site.cover.loss.figures())


def test_without_links_back_there_is_no_way_and_it_is_said_why() -> None:
    site = Site(plan(loops=False), rate=50, fill=50)
    site.ring["missing"] = 9
    assert [site.tick() for _ in range(20)] == [0] * 20
    assert "from layer 1 to 2 to 3 to 1" in site.routes.why_closed
    assert Site().routes.why_closed == ""


def test_keys_of_slots() -> None:
    """Each loop has the slot of the clock less up to half the grace; nodes without a key for it are gone around."""
    times = SlotTimes(600 * S, 60 * S, 120 * S)
    network = plan().network
    slot = times.number(UNIX_NS)
    at_ns = slot * 600 * S + 30 * S
    asked = set()

    def public(number: int, wanted: int) -> bytes | None:
        asked.add(wanted)
        return None if number == 2 else network.node(number).sphinx_public

    drawn = LoopRoutes(network, 0, public, times).draw(200, at_ns, random.Random(1))
    assert set(drawn.slots) == asked == {slot - 1, slot}
    assert 0.3 < drawn.slots.count(slot - 1) / 200 < 0.7
    assert {first for first, _ in drawn.ways} == {3}
    assert LoopRoutes(network, 0, lambda *_: None, times).draw(5, at_ns, random.Random(1)) is None
    no_own = LoopRoutes(network, 0, lambda number, _: b"k" * 32 if number else None, times)
    assert no_own.draw(5, at_ns, random.Random(1)) is None


def test_the_same_seed_makes_the_same_loops() -> None:
    rings = []
    for _ in range(2):
        site = Site(rate=20, seed=5)
        for _ in range(10):
            site.tick()
        rings.append(site.ring.tobytes())
    assert rings[0] == rings[1]


def test_the_table() -> None:
    assert CoverConfig().is_on
    assert not CoverConfig(rate=0, fill=0).is_on
