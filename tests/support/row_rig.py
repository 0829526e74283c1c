"""A node in memory whose links have roots that come and go: the test is control, and all its neighbours."""

import random
from dataclasses import dataclass, field

import oracle
from road_rig import DOWNSTREAM, UPSTREAM, Rig, Sender

from fastmix.control.link_rows import LinkRow, LinkRows
from fastmix.control.snapshot import publish_links, published_links, wipe_before
from fastmix.keys._chain import LockedBytes
from fastmix.links.exchange import Roots
from fastmix.links.static import LinkRoot
from fastmix.network import node_id
from fastmix.packet.verdict import Verdict

UP, DOWN, CLIENT, OTHER = node_id(0), node_id(2), b"a client".ljust(32, b"."), b"another".ljust(32, b".")
PLACES = {UP: UPSTREAM, DOWN: DOWNSTREAM}
TO_CLIENT, TO_OTHER = b"\x00\xff" + CLIENT, b"\x00\xff" + OTHER
DROP = b"\x03\xff"


def root_of(secret: bytes) -> LockedBytes:
    root = LockedBytes(32)
    root.view[:] = secret
    return root


@dataclass
class RowRig(Rig):
    """`link` gives a peer another root, `publish` shows the data plane all rows; `read` opens what left, and refuses a number
    that another frame under the same root has."""

    rate: int = 0
    rows: LinkRows = field(default_factory=LinkRows)
    dice: random.Random = field(default_factory=lambda: random.Random(4712))
    out: dict[int, tuple[LinkRow, bytes]] = field(default_factory=dict)
    sealed: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    """Root and sequence number -> the only frame that has them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.routes = {0: UP, 2: DOWN}
        self.publish()

    def link(self, peer: bytes) -> tuple[LinkRow, Sender]:
        """Another root: its row, and the peer's side of it."""
        forth, back = self.dice.randbytes(32), self.dice.randbytes(32)
        index_in, index_out = self.dice.getrandbits(32), self.dice.getrandbits(32)
        roots = Roots(send=root_of(forth), recv=root_of(back), index_in=index_in, index_out=index_out, exchange=bytes(32))
        row = self.rows.add(peer, PLACES.get(peer), roots, self.now_ns, rate=self.rate)
        self.out[index_out] = row, forth
        return row, Sender(LinkRoot(node_id(1), UPSTREAM, index_out, index_in, back, forth))

    def joined(self, *peers: bytes) -> list[Sender]:
        """A first link of each, in use."""
        linked = [self.link(peer) for peer in peers]
        for row, _ in linked:
            assert self.rows.acked(row, self.now_ns)
        self.publish()
        return [sender for _, sender in linked]

    def publish(self) -> None:
        """Shows the rows as they are, until every thread uses them."""
        generation = publish_links(self.node.snapshot, self.rows, self.routes)
        self.look()
        assert int(self.node.page["process"]["adopted"][0]) == generation
        self.rows.adopted(generation)
        wipe_before(self.node.snapshot)

    def look(self) -> None:
        """Adopts what is published, each thread, and says so."""
        for _ in range(3):
            self.node.plane.look(self.now_ns, self.now_ns)
            self.node.plane.road.receive(self.now_ns)

    def next_control(self) -> None:
        """Control is killed; the next one takes over what is published."""
        known = {row.serial: index_out for index_out, (row, _) in self.out.items()}
        self.rows = published_links(self.node.snapshot, self.now_ns, overlap_ns=self.rows.overlap_ns)
        for row in self.rows:
            self.out[known[row.serial]] = row, self.out[known[row.serial]][1]
        self.rows.adopted(int(self.node.page["process"]["adopted"][0]))

    def read(self, left: list[tuple[tuple[str, int], bytes]]) -> list[LinkRow]:
        """The row of each frame that left."""
        rows = []
        for _, frame in left:
            row, root = self.out[int.from_bytes(frame[:4], "little")]
            rows.append(row)
            self.note(root, frame)
        return rows

    def note(self, root: bytes, frame: bytes) -> None:
        """A sealed frame; `seq` alone has to be new for each, and so has (key, nonce)."""
        opened = oracle.open_frame(root, frame)
        assert opened.verdict == Verdict.OK
        assert self.sealed.setdefault((root, opened.seq), frame) == frame, "a number was used twice"

    def note_rows(self) -> int:
        """Whatever has been sealed in place and still lies in the arena, also by a data plane that was killed; how many."""
        size, found = self.plan.network.geometry.frame_size, 0
        for row in self.node.arena["rows"].reshape(-1, self.plan.network.geometry.row_stride):
            frame = row[:size].tobytes()
            known = self.out.get(int.from_bytes(frame[:4], "little"))
            if known and oracle.open_frame(known[1], frame).verdict == Verdict.OK:
                self.note(known[1], frame)
                found += 1
        return found
