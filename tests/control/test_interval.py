"""Intervals of descriptors on a virtual clock: each has a chain of its own, and no key that was listed becomes another."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from fastmix.control.interval import Interval, last_descriptor
from fastmix.control.rotation import Rotation
from fastmix.descriptor import Descriptor
from fastmix.errors import ResourceExhausted
from fastmix.keys.chainfile import CHAINS_MAX, ChainFile
from fastmix.keys.policy import KeyRotationPolicy

S = 1_000_000_000
POLICY = KeyRotationPolicy(
    interval=timedelta(seconds=100), overlap_period=timedelta(seconds=20), backup_keys=2, slot=timedelta(seconds=10),
    early=timedelta(seconds=2), late=timedelta(seconds=8),
)  # fmt: skip
TIMES = POLICY.times
START = 10_004 * S
"""In slot 1000."""


class Told(list[Descriptor]):
    """All descriptors of a node; `broken`: the disk is full."""

    broken = False

    def write(self, descriptor: Descriptor) -> None:
        if self.broken:
            raise ResourceExhausted("full")
        self.append(descriptor)

    def keys(self) -> dict[int, bytes]:
        """The key of each slot: all descriptors have the same."""
        found: dict[int, bytes] = {}
        for descriptor in self:
            for at, public in enumerate(descriptor.publics):
                assert found.setdefault(descriptor.first_slot + at, public) == public
        return found


class Node:
    """A control that can be killed, and followed by another."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told, self.now_ns = folder, Told(), START
        self.state = folder / "state"
        self.state.mkdir()
        self.chain = ChainFile.create(folder / "chain", TIMES.live(START)[0])
        self.policy = POLICY
        self.begin(fresh=True)

    def begin(self, *, fresh: bool = False) -> None:
        self.rotation = Rotation(self.state, TIMES, 100, self.chain)
        self.rotation.begin(self.now_ns, fresh=fresh)
        self.rotation.look(self.now_ns)
        self.interval = Interval(0, self.rotation, self.policy, self.told.write)
        self.interval.take_up(self.told[-1] if self.told else None, self.now_ns)

    def killed(self) -> None:
        self.chain.close()
        found = ChainFile.open(self.folder / "chain")
        assert found is not None
        self.chain = found
        self.begin()

    def run(self, seconds: int) -> None:
        """Each second; every live slot has the key that was told."""
        for _ in range(seconds):
            self.rotation.look(self.now_ns)
            self.interval.look(self.now_ns)
            keys = self.told.keys()
            assert all(self.rotation.pairs[slot].public == keys[slot] for slot in TIMES.live(self.now_ns))
            self.now_ns += S


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.chain.close()


def test_a_chain_an_interval(node: Node) -> None:
    node.run(550)
    assert [told.valid_until_ns - START for told in node.told] == [(120 + 100 * at) * S for at in range(6)]
    assert all(len(told.publics) >= POLICY.horizon for told in node.told)
    for told in node.told:  # all that is built for as long as it may be believed, and the backup keys
        assert told.first_slot + len(told.publics) > TIMES.number(told.valid_until_ns) + POLICY.backup_keys
    node.told.keys()
    ids = {pair.chain_id for pair in node.rotation.pairs.values()} | {chain_id for _, chain_id in node.chain.starts}
    assert len(ids) in (2, 3)


def test_every_interval_has_fresh_keys(node: Node) -> None:
    """From the first slot that none has listed on, a chain of before would have had others."""
    node.run(99)
    end_slot = node.interval.end_slot
    first, publics = node.rotation.publics(node.now_ns, end_slot + 60)
    foretold = {first + at: key for at, key in enumerate(publics)}
    node.run(200)
    keys = node.told.keys()
    assert {slot for slot in foretold.keys() & keys.keys() if foretold[slot] != keys[slot]} == set(range(end_slot, max(keys) + 1))


def test_kills_change_nothing(node: Node) -> None:
    """However often: descriptors are written when an interval begins, and only then."""
    for _ in range(60):
        node.run(5)
        node.killed()
    assert [told.valid_until_ns - START for told in node.told] == [120 * S, 220 * S, 320 * S]


def test_a_kill_between_chain_and_descriptor(node: Node) -> None:
    node.run(99)
    node.rotation.renew_from(node.interval.end_slot)
    node.killed()
    node.run(150)
    node.rotation.renew(node.now_ns)
    node.told.append(node.told[-1])
    node.killed()
    assert node.interval.is_due, "the descriptor lists keys that will not be"
    before = node.told.pop()
    del node.told[:]
    node.interval.look(node.now_ns)
    (after,) = node.told
    assert after.valid_until_ns == before.valid_until_ns
    assert after.publics[-1] != before.publics[-1]
    node.run(200)


def test_a_full_disk_delays_a_descriptor(node: Node) -> None:
    """The chain has begun; the one of before lists enough for the overlap, and backup keys."""
    node.run(98)
    node.told.broken = True
    for _ in range(20):
        node.rotation.look(node.now_ns)
        if node.now_ns >= START + 100 * S:
            with pytest.raises(ResourceExhausted):
                node.interval.look(node.now_ns)
        node.now_ns += S
    assert len(node.chain.starts) <= 2
    node.told.broken = False
    node.run(200)
    assert len(node.told) == 4


def test_another_policy(node: Node) -> None:
    """Longer, then shorter: no key that was listed is taken back."""
    node.run(50)
    for seconds in (300, 30):
        node.rotation.renew_from(node.interval.end_slot)
        node.interval.begin(node.now_ns, replace(POLICY, interval=timedelta(seconds=seconds)))
        node.run(1)
        assert node.told[-1].valid_until_ns == node.now_ns - S + (seconds + 20) * S
    node.run(400)
    assert len(node.chain.starts) < CHAINS_MAX
    node.policy = node.interval.policy
    node.killed()
    node.run(50)


def test_a_node_that_was_off_for_long(node: Node) -> None:
    """Its descriptor is over: another interval begins, with another chain at once."""
    node.run(10)
    old = node.chain.id
    node.now_ns += 5000 * S
    node.killed()
    node.interval.look(node.now_ns)
    assert node.told[-1].valid_until_ns == node.now_ns + 120 * S
    node.now_ns += 14 * S
    node.rotation.look(node.now_ns)
    assert node.chain.id != old


def test_what_is_no_descriptor_does_not_count(tmp_path: Path) -> None:
    assert last_descriptor(tmp_path / "none", 0, bytes(32)) is None
    (tmp_path / "rubbish").write_bytes(b"rubbish\n00\n")
    assert last_descriptor(tmp_path / "rubbish", 0, bytes(32)) is None
