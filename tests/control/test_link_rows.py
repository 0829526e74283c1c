"""Which row each link root has: a model of rows, and of a control that follows another. No data plane, no clock."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from row_rig import root_of

from fastmix.control.link_rows import LIFE_NS, OVERLAP_NS, ROWS_OF_A_PEER, LinkRow, LinkRows
from fastmix.control.snapshot import (
    SnapshotKey,
    begin_snapshot,
    publish_keys,
    publish_links,
    published_keys,
    published_links,
    wipe_before,
)
from fastmix.errors import ResourceExhausted
from fastmix.links.exchange import Roots
from fastmix.seam.layout import LINKS_MAX, NO_LINK
from fastmix.seam.memory import Region, create_memory, secret_sections

PEERS = [bytes([number]) * 32 for number in range(4)]
PLACE = ("10.0.0.2", 2)
S = 1_000_000_000


def roots(index: int) -> Roots:
    return Roots(
        send=root_of(b"s" * 28 + index.to_bytes(4, "big")), recv=root_of(b"r" * 28 + index.to_bytes(4, "big")),
        index_in=index, index_out=index + 1, exchange=bytes(32),
    )  # fmt: skip


def region() -> Region:
    secret = Region(create_memory("fastmix-test-rows", secret_sections()), secret_sections())
    begin_snapshot(secret, [], classes=1, mean_delay_ns=1, pool_slots=64)
    return secret


def current(secret: Region):
    return secret["snapshot"]["copy"][0, int(secret["snapshot"]["generation"][0]) & 1]


def before(secret: Region):
    return secret["snapshot"]["copy"][0, 1 - (int(secret["snapshot"]["generation"][0]) & 1)]


def any_root(copy) -> bool:
    return any(copy["links"][way][part].any() for way in ("recv", "send") for part in ("root", "mask_key"))


class Rows(RuleBasedStateMachine):
    """A control with some peers, over the region that the data plane reads; it is killed now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.secret = region()
        self.rows = LinkRows()
        self.now_ns, self.adopted, self.index, self.generation = 0, 1, 0, 1
        self.serials: set[int] = set()
        self.holds: dict[int, bytes] = {}
        """Row -> peer, as threads or waiting packets of the data plane may still have it."""
        self.handles: list[LinkRow] = []

    @rule(peer=st.sampled_from(PEERS), client=st.booleans())
    def add(self, peer, client):
        self.index += 2
        secret = roots(self.index)
        if len(self.rows.of_peer(peer)) == ROWS_OF_A_PEER:
            with pytest.raises(ResourceExhausted, match="renews them faster than they end"):
                self.rows.add(peer, PLACE, secret, self.now_ns)
            assert not secret.send.is_live
            return
        row = self.rows.add(peer, None if client else PLACE, secret, self.now_ns)
        assert row.row not in self.holds, "the data plane may still use it"
        assert row.serial not in self.serials, "a serial was given twice"
        assert {other.ingress for other in self.rows if other.peer != peer}.isdisjoint({row.ingress})
        self.serials.add(row.serial)
        self.handles.append(row)

    @precondition(lambda self: self.handles)
    @rule(data=st.data())
    def ack(self, data):
        row = data.draw(st.sampled_from(self.handles))
        sends = self.rows.sending(row.peer)
        if self.rows.acked(row, self.now_ns):
            assert row.live
            assert sends is None or sends.serial < row.serial
            assert self.rows.sending(row.peer) is row
        else:
            assert self.rows.sending(row.peer) is sends

    @rule(wait_s=st.integers(0, 70))
    def wait(self, wait_s):
        self.now_ns += wait_s * S
        self.rows.expire(self.now_ns)
        for row in self.rows:
            assert not row.live or self.now_ns < row.since_ns + LIFE_NS + OVERLAP_NS

    @rule(peer=st.sampled_from(PEERS))
    def drop(self, peer):
        self.rows.drop_peer(peer)
        assert not any(row.live for row in self.rows.of_peer(peer))

    @precondition(lambda self: self.adopted == self.generation)
    @rule()
    def publish(self):
        self.generation = publish_links(self.secret, self.rows, dict(enumerate(PEERS)))
        self.holds |= {row.row: row.peer for row in self.rows if row.live}
        assert not self.rows.changed

    @rule()
    def adopt(self):
        """As `fm_plane_settle` leaves it: nothing but live rows is named."""
        self.adopted = self.generation
        self.holds = {at: bytes(row["peer_id"]) for at, row in enumerate(current(self.secret)["links"]) if row["live"]}
        wipe_before(self.secret)
        assert not before(self.secret)["links"]["send"]["root"].any()

    @rule()
    def hear(self):
        self.rows.adopted(self.adopted)

    @rule()
    def be_killed(self):
        """What was not published is lost."""
        known = {row.row: row for row in self.rows if row.roots is None}
        self.rows = published_links(self.secret, self.now_ns)
        self.handles.clear()
        mine = {row.row: row for row in self.rows}
        assert {at for at, row in known.items() if row.live} <= {row.row for row in self.rows if row.live}
        for at in known.keys() & mine.keys():
            for name in ("peer", "address", "ingress", "serial", "peer_serial", "since_ns", "index_in", "index_out"):
                assert getattr(mine[at], name) == getattr(known[at], name)
        self.serials = {serial for serial in self.serials if serial <= self.rows.last_serial}

    @invariant()
    def rows_make_sense(self):
        by_peer = {peer: self.rows.of_peer(peer) for peer in PEERS}
        for rows in by_peer.values():
            assert sum(row.sends for row in rows) <= 1
            assert len({row.ingress for row in rows if row.live}) <= 1
            for row in rows:
                assert row.live or not row.sends
                assert row.next == row.row or self.peer_of(row.next) in (row.peer, None)
        assert len(self.rows) <= LINKS_MAX
        assert all(at in {row.row for row in self.rows} for at in self.holds)

    def peer_of(self, at):
        return next((row.peer for row in self.rows if row.row == at), None)

    @invariant()
    def what_is_published_makes_sense(self):
        copy = current(self.secret)
        links = copy["links"]
        for at, record in enumerate(links[:12]):
            assert bool(record["live"]) == bool(record["send"]["root"].any()) == bool(record["recv"]["mask_key"].any())
            assert record["live"] or not record["sends"]
            assert record["next"] < LINKS_MAX
            assert at < copy["link_count"] or not record["live"]
        for index, peer in enumerate(PEERS):
            to = int(copy["routes"][index])
            assert to == NO_LINK or (links[to]["sends"] and bytes(links[to]["peer_id"]) == peer)


TestRows = Rows.TestCase
TestRows.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)


def test_room_for_so_many_roots() -> None:
    rows = LinkRows()
    for number in range(LINKS_MAX):
        rows.add(number.to_bytes(32, "big"), PLACE, roots(number), 0)
    with pytest.raises(ResourceExhausted, match="1024 link roots are in use"):
        rows.add(bytes([255]) * 32, PLACE, roots(5000), 0)


def test_two_roots_with_one_index() -> None:
    rows = LinkRows()
    rows.add(PEERS[0], PLACE, roots(7), 0)
    assert rows.has_index(7)
    secret = roots(7)
    with pytest.raises(ValueError, match="00000007 is another root's"):
        rows.add(PEERS[1], PLACE, secret, 0)
    assert not secret.recv.is_live


def test_roots_are_wiped_where_they_are_no_longer_used() -> None:
    secret, rows, first = region(), LinkRows(), roots(1)
    row = rows.add(PEERS[0], None, first, 0, rate=100)
    publish_links(secret, rows, {})
    assert not first.send.is_live
    assert not first.recv.is_live
    record = current(secret)["links"][row.row]
    assert bytes(record["send"]["root"]) == b"s" * 28 + bytes([0, 0, 0, 1])
    assert record["interval_ns"] == 10_000_000
    assert [published.rate for published in published_links(secret, 0)] == [100]
    publish_links(secret, rows, {})
    rows.drop_peer(PEERS[0])
    publish_links(secret, rows, {})
    assert not any_root(current(secret))
    assert any_root(before(secret)), "somebody may still use them"
    wipe_before(secret)
    assert not any_root(before(secret))


def test_keys_do_not_touch_links() -> None:
    secret, rows = region(), LinkRows()
    row = rows.add(PEERS[0], PLACE, roots(1), 0)
    rows.acked(row, 0)
    publish_links(secret, rows, {3: PEERS[0]})
    publish_keys(secret, [SnapshotKey(b"k" * 16, 7, 1, 2)])
    assert [(row.row, row.sends, row.address) for row in published_links(secret, 0)] == [(0, True, PLACE)]
    assert current(secret)["routes"][3] == 0
    publish_links(secret, rows, {})
    assert published_keys(secret) == [SnapshotKey(b"k" * 16, 7, 1, 2)]
    assert current(secret)["routes"][3] == NO_LINK
