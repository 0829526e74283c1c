"""Which row of the data plane each link root has. Pure: time is an argument, secrets are only handed on.

A row is one peer under one root. Frames are taken on every live row; packets for a peer leave by the row that its newest
acknowledged root has. A row that another one has taken over lives for the overlap, then it is a hole.

A hole is given to another root only after the data plane has adopted a snapshot with it: then every thread is without the row,
and what waited for it waits for the row that has taken over (`fm_plane_settle`), so that nothing names it any more. Serials
number the roots of a node's life; none is given twice, whatever is killed, for the last one is in the snapshot.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from fastmix.errors import ResourceExhausted
from fastmix.links.exchange import Roots
from fastmix.seam.layout import LINKS_MAX, NEVER_NS

LIFE_NS = 120_000_000_000
"""A root is used to send for so long at most."""
OVERLAP_NS = 10_000_000_000
"""So much longer frames under it are taken."""
ROWS_OF_A_PEER = 4
"""One that sends, the one before it, one whose acknowledgement is awaited, and a hole that nobody has seen yet."""


@dataclass(slots=True, eq=False)
class LinkRow:
    """A root in its row. `ingress`: the peer's number, the same for all its rows; `next`: the row by which packets that wait for
    this one leave; `roots`: until they are published; `gone_in`: generation of the first snapshot in which it is a hole.

    `address`: (host, port), None for a client, which is answered where it was heard; `rate`: packets a second that the peer may
    send, 0: no limit. Times: CLOCK_BOOTTIME.
    """

    row: int
    peer: bytes
    address: tuple[str, int] | None
    index_in: int
    index_out: int
    ingress: int
    serial: int
    peer_serial: int
    since_ns: int
    until_ns: int
    next: int
    rate: int = 0
    live: bool = True
    sends: bool = False
    roots: Roots | None = field(default=None, repr=False)
    gone_in: int | None = None


class LinkRows:
    """All rows that are not free. `changed`: there is something to publish."""

    def __init__(self, *, last_serial: int = 0, life_ns: int = LIFE_NS, overlap_ns: int = OVERLAP_NS) -> None:
        """No rows. `last_serial`: the last one that this node has given to a root."""
        self.last_serial, self.life_ns, self.overlap_ns = last_serial, life_ns, overlap_ns
        self.changed = False
        self._rows: dict[int, LinkRow] = {}

    def __iter__(self) -> Iterator[LinkRow]:
        return iter(self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def of_peer(self, peer: bytes) -> list[LinkRow]:
        """Its rows, oldest first; holes too that are not free yet."""
        return sorted((row for row in self if row.peer == peer), key=lambda row: row.serial)

    def sending(self, peer: bytes) -> LinkRow | None:
        """The row on which packets for a peer leave; None where there is no link to it."""
        return next((row for row in self if row.sends and row.peer == peer), None)

    def has_index(self, index_in: int) -> bool:
        """Whether frames with that receiver index belong, or until lately belonged, to a root of this node."""
        return any(row.index_in == index_in for row in self)

    def take_over(self, row: LinkRow) -> None:
        """A row that a predecessor has published."""
        self._rows[row.row] = row

    def add(self, peer: bytes, address: tuple[str, int] | None, roots: Roots, now_ns: int, *, rate: int = 0) -> LinkRow:
        """A row for a root: frames under it are taken once it is published; packets leave under it from `acked` on. The roots are
        wiped once they are published, or at once where this raises.

        `ResourceExhausted` where there is no room, `ValueError` where the receiver index is another root's.
        """
        try:
            row = self._free_row(peer)
            if self.has_index(roots.index_in):
                raise ValueError(f"receiver index {roots.index_in:08x} is another root's: ask `has_index` before it is offered")
        except (ResourceExhausted, ValueError):
            roots.wipe()
            raise
        self.last_serial += 1
        ingress, peer_serial = self._ingress(peer)
        self._rows[row] = added = LinkRow(
            row, peer, address, roots.index_in, roots.index_out, ingress, self.last_serial, peer_serial, now_ns,
            now_ns + self.life_ns + self.overlap_ns, row, rate, roots=roots,
        )  # fmt: skip
        self.changed = True
        return added

    def _free_row(self, peer: bytes) -> int:
        if len(self.of_peer(peer)) >= ROWS_OF_A_PEER:
            raise ResourceExhausted(
                f"the peer {peer[:8].hex()} has {ROWS_OF_A_PEER} link roots at once: it renews them faster than they end"
            )
        if len(self._rows) >= LINKS_MAX:
            raise ResourceExhausted(
                f"{LINKS_MAX} link roots are in use, and there is room for no more: divide the clients among more nodes"
            )
        return next(row for row in range(LINKS_MAX) if row not in self._rows)

    def _ingress(self, peer: bytes) -> tuple[int, int]:
        """The peer's number, and the serial of its first root: those of its live rows, else new ones."""
        for row in self:
            if row.peer == peer and row.live:
                return row.ingress, row.peer_serial
        taken = {row.ingress for row in self}
        return next(number for number in range(LINKS_MAX) if number not in taken), self.last_serial

    def acked(self, row: LinkRow, now_ns: int) -> bool:
        """The peer takes frames under that root: from the next snapshot on its packets leave there, those too that wait for an
        older row of it. False where the row is over, or a newer one sends already."""
        before = self.sending(row.peer)
        if self._rows.get(row.row) is not row or not row.live or (before is not None and before.serial >= row.serial):
            return False
        for other in self.of_peer(row.peer):
            other.sends = other is row
            if other.serial <= row.serial:
                other.next = row.row
            if other.serial < row.serial:
                other.until_ns = min(other.until_ns, now_ns + self.overlap_ns)
        self.changed = True
        return True

    def expire(self, now_ns: int) -> None:
        """Ends rows whose time is over."""
        for row in list(self):
            if row.live and row.until_ns <= now_ns:
                self._end(row)

    def drop_peer(self, peer: bytes) -> None:
        """Ends all rows of a peer; what waits for it is dropped."""
        for row in self.of_peer(peer):
            row.next = row.row
            if row.live:
                self._end(row)

    def _end(self, row: LinkRow) -> None:
        row.live = row.sends = False
        self.changed = True
        for other in self.of_peer(row.peer):
            if other is not row and other.next == row.row:  # that row will be another peer's one day
                other.next = other.row
        if row.roots is not None:  # never published
            row.roots.wipe()
            del self._rows[row.row]

    def published(self, generation: int) -> None:
        """The snapshot of that generation has all rows as they are."""
        self.changed = False
        for row in self:
            if row.roots is not None:
                row.roots.wipe()
                row.roots = None
            if not row.live and row.gone_in is None:
                row.gone_in = generation

    def adopted(self, generation: int) -> None:
        """The data plane, all of it, uses the snapshot of that generation: rows that are holes there are free."""
        for row in list(self):
            if row.gone_in is not None and row.gone_in <= generation:
                del self._rows[row.row]


def end_of(serial: int, since_ns: int, rows: LinkRows) -> int:
    """When a published root is over; a static one never is."""
    return since_ns + rows.life_ns + rows.overlap_ns if serial else NEVER_NS
