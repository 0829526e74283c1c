"""A second implementation of what clients say end to end (docs/wire-format.md section 9); imports nothing of fastmix."""

import struct
from dataclasses import dataclass, field

from peer_sphinx import Dropped

VERSION, DATA, POLL, ACK = 1, 1, 2, 3
HEADER, RECORD = 36, 226
LIMIT, MAX_REPLY_RECORDS = 1_048_576, 1536


@dataclass
class Fragment:
    type: int
    message_id: bytes
    index: int = 0
    count: int = 1
    total: int = 0
    reply_records: int = 0
    complete: bool = False
    records: list = field(default_factory=list)
    body: bytes = b""

    def to_bytes(self, data_size):
        head = struct.pack("<BBBB", VERSION, self.type, self.complete, len(self.records)) + self.message_id
        head += struct.pack("<IIIHH", self.index, self.count, self.total, self.reply_records, len(self.body))
        return (head + b"".join(self.records) + self.body).ljust(data_size, b"\0")

    @classmethod
    def parse(cls, data):
        version, kind, flags, n = data[:4]
        index, count, total, reply_records, size = struct.unpack("<IIIHH", data[20:HEADER])
        at = HEADER + n * RECORD
        if version != VERSION or kind not in (DATA, POLL, ACK) or flags > (kind == ACK) or at + size > len(data):
            raise Dropped("fragment header")
        records = [data[HEADER + i * RECORD : HEADER + (i + 1) * RECORD] for i in range(n)]
        out = cls(kind, data[4:20], index, count, total, reply_records, bool(flags), records, data[at : at + size])
        if any(data[at + size :]) or not out._consistent(len(data) - HEADER):
            raise Dropped("fragment rules")
        return out

    def _consistent(self, chunk):
        if self.type == ACK:
            room = (self.count - self.index + 7) // 8
            whole = self.index == self.count and not self.body
            return (
                not self.total
                and not self.reply_records
                and self.index <= self.count
                and self.count > 0
                and (whole if self.complete else len(self.body) <= room)
            )
        if not RECORD * self.reply_records <= self.total <= RECORD * self.reply_records + LIMIT:
            return False
        if self.reply_records > MAX_REPLY_RECORDS or self.count != max(1, -(-self.total // chunk)):
            return False
        if self.type == POLL:
            return bool(self.records) and not self.index and not self.body
        return self.index < self.count and len(self.body) == min(chunk, self.total - chunk * self.index)


def split(message_id, data, data_size, reply_surbs=()):
    """The data fragments of a message, without acknowledgement records."""
    stream, chunk = b"".join(reply_surbs) + data, data_size - HEADER
    count = max(1, -(-len(stream) // chunk))
    return [
        Fragment(DATA, message_id, i, count, len(stream), len(reply_surbs), body=stream[i * chunk : (i + 1) * chunk])
        for i in range(count)
    ]


def join(fragments):
    """(reply SURB records, the message) of all fragments of a message."""
    stream = b"".join(f.body for f in sorted(fragments, key=lambda f: f.index))
    at = RECORD * fragments[0].reply_records
    return [stream[i : i + RECORD] for i in range(0, at, RECORD)], stream[at:]


def acknowledge(message_id, count, arrived, records=()):
    """The acknowledgement of a message of which the fragments `arrived` (a set of indices) have come."""
    first = next(i for i in range(count + 1) if i not in arrived)
    if first == count:
        return Fragment(ACK, message_id, count, count, complete=True, records=list(records))
    bits = bytearray((max([*arrived, first - 1]) - first) // 8 + 1)
    for i in arrived:
        if i > first:
            bits[(i - first) // 8] |= 1 << (i - first) % 8
    return Fragment(ACK, message_id, first, count, records=list(records), body=bytes(bits))
