"""The bytes of what clients say end to end: docs/wire-format.md, section 9."""

import struct
from dataclasses import dataclass, field, replace
from enum import IntEnum

from fastmix.packet.geometry import SURB_ID_SIZE, SURB_SIZE, Geometry

VERSION = 1
HEADER = struct.Struct(f"<BBBB{SURB_ID_SIZE}sIIIHH")
SLOT_SIZE = 4
RECORD_SIZE = SLOT_SIZE + SURB_SIZE
"""A SURB on its way: slot number u32 little endian, then the SURB."""
MESSAGE_ID_SIZE = 16
MESSAGE_LIMIT = 1 << 20
"""Most bytes of one message."""
MAX_REPLY_SURBS = 1536
"""Most reply SURBs in one message; 1,093 carry an answer of `MESSAGE_LIMIT` (wan)."""
_COMPLETE = 1


class Kind(IntEnum):
    """What a fragment is."""

    DATA = 1
    POLL = 2
    ACK = 3


@dataclass(frozen=True, slots=True)
class Fragment:
    """One fragment; the fields are those of the document. `records` are SURB records of 226 bytes each."""

    kind: Kind
    message_id: bytes
    index: int = 0
    count: int = 1
    total: int = 0
    reply_records: int = 0
    complete: bool = False
    records: tuple[bytes, ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        """The fragment without the zeros that fill up the packet's data."""
        head = HEADER.pack(
            VERSION,
            self.kind,
            _COMPLETE if self.complete else 0,
            len(self.records),
            self.message_id,
            self.index,
            self.count,
            self.total,
            self.reply_records,
            len(self.body),
        )
        return b"".join((head, *self.records, self.body))

    def with_records(self, records: tuple[bytes, ...]) -> "Fragment":
        """The same fragment with more SURB records."""
        return replace(self, records=self.records + records)


def chunk_size(geometry: Geometry) -> int:
    """Stream bytes of one fragment."""
    return geometry.data_size - HEADER.size


def fragment_count(total: int, chunk: int) -> int:
    """Fragments of a stream of that length: at least one."""
    return max(1, -(-total // chunk))


def parse(data: bytes) -> Fragment | None:
    """Reads a packet's data; None where it breaks a rule of the format."""
    version, kind, flags, n, message_id, index, count, total, reply_records, size = HEADER.unpack_from(data)
    body_at = HEADER.size + n * RECORD_SIZE
    end = body_at + size
    if version != VERSION or kind not in _RULES or flags > (kind == Kind.ACK) or data.count(0, end) != len(data) - end:
        return None
    records = tuple(data[at : at + RECORD_SIZE] for at in range(HEADER.size, body_at, RECORD_SIZE))
    body = data[body_at:end]
    fragment = Fragment(Kind(kind), message_id, index, count, total, reply_records, bool(flags), records, body)
    return fragment if _RULES[kind](fragment, len(data) - HEADER.size) else None


def _message_rules(fragment: Fragment, chunk: int) -> bool:
    """What data and polls say of their message."""
    data_size = fragment.total - RECORD_SIZE * fragment.reply_records
    return (
        fragment.reply_records <= MAX_REPLY_SURBS
        and 0 <= data_size <= MESSAGE_LIMIT
        and fragment.count == fragment_count(fragment.total, chunk)
    )


def _data_rules(fragment: Fragment, chunk: int) -> bool:
    size = min(chunk, fragment.total - chunk * fragment.index)
    return _message_rules(fragment, chunk) and fragment.index < fragment.count and len(fragment.body) == size


def _poll_rules(fragment: Fragment, chunk: int) -> bool:
    return _message_rules(fragment, chunk) and bool(fragment.records) and not fragment.index and not fragment.body


def _ack_rules(fragment: Fragment, chunk: int) -> bool:
    if fragment.total or fragment.reply_records or fragment.count == 0 or fragment.index > fragment.count:
        return False
    if fragment.complete:
        return fragment.index == fragment.count and not fragment.body
    return len(fragment.body) <= (fragment.count - fragment.index + 7) // 8


_RULES = {Kind.DATA: _data_rules, Kind.POLL: _poll_rules, Kind.ACK: _ack_rules}


def acknowledgement(message_id: bytes, arrived: bytearray) -> Fragment:
    """The acknowledgement of a message from one byte a fragment, 1 = arrived."""
    count, first = len(arrived), arrived.find(0)
    if first < 0:
        return Fragment(Kind.ACK, message_id, count, count, complete=True)
    bits = bytearray((max(arrived.rfind(1), first - 1) - first) // 8 + 1)
    for at in range(first, count):
        if arrived[at]:
            bits[(at - first) >> 3] |= 1 << ((at - first) & 7)
    return Fragment(Kind.ACK, message_id, first, count, body=bytes(bits))


def acknowledged(ack: Fragment) -> list[int]:
    """The indices of the fragments that an acknowledgement names."""
    named = list(range(ack.index))
    for byte, bits in enumerate(ack.body):
        named.extend(ack.index + 8 * byte + bit for bit in range(8) if bits >> bit & 1)
    return named
