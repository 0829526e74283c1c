"""Files and texts of any size as messages: what `fastmix send` sends and `fastmix listen` puts together again.

A message is `MAGIC`, a u16 (little endian), so many bytes of MessagePack that say of what it is a part, and the part's bytes. A
message without `MAGIC` is somebody's own, and a text by itself.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

MAGIC = b"fastmix parcel 1\0"
PART_SIZE = 64 << 10
SIZE_MAX = 256 << 20
"""A parcel is put together in memory."""
OPEN_MAX = 64
"""Parcels of which parts are missing; the oldest is forgotten."""
NAME_MAX = 200
UNNAMED = "unnamed"


class Head(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`part` of `parts` of the parcel `id`, which has `size` bytes in all and that SHA-256. `name` is empty of a text."""

    id: Annotated[bytes, Meta(min_length=16, max_length=16)]
    name: Annotated[str, Meta(max_length=NAME_MAX)]
    size: Annotated[int, Meta(ge=0, le=SIZE_MAX)]
    sha256: Annotated[bytes, Meta(min_length=32, max_length=32)]
    part: Annotated[int, Meta(ge=0)]
    parts: Annotated[int, Meta(ge=1, le=SIZE_MAX // PART_SIZE + 1)]


@dataclass(frozen=True, slots=True)
class Parcel:
    """Something whole. `name` is that of a file, safe to write in any directory; empty of a text."""

    name: str
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """Of the data, in hex."""
        return hashlib.sha256(self.data).hexdigest()


def pack(name: str, data: bytes, urandom: Callable[[int], bytes] = os.urandom) -> list[bytes]:
    """The messages of a parcel; `ValueError` where it is too large."""
    if len(data) > SIZE_MAX:
        raise ValueError(f"{len(data)} bytes are too many: at most {SIZE_MAX >> 20} MiB go at a time")
    chunks = [data[at : at + PART_SIZE] for at in range(0, len(data), PART_SIZE)] or [b""]
    parcel_id, digest = urandom(16), hashlib.sha256(data).digest()
    messages = []
    for part, chunk in enumerate(chunks):
        head = msgspec.msgpack.encode(Head(parcel_id, name[:NAME_MAX], len(data), digest, part, len(chunks)))
        messages.append(MAGIC + len(head).to_bytes(2, "little") + head + chunk)
    return messages


def safe_name(name: str) -> str:
    """A file name that stays in its directory and hides nothing, whoever has chosen it."""
    last = name.replace("\\", "/").rpartition("/")[2]
    clean = "".join(letter if letter.isprintable() else "_" for letter in last).strip().lstrip(".")
    return clean.encode()[:NAME_MAX].decode(errors="ignore") or UNNAMED


@dataclass(slots=True)
class _Open:
    head: Head
    chunks: dict[int, bytes] = field(default_factory=dict)
    size: int = 0


class Unpacking:
    """Puts parcels together. `refused` counts messages and parcels that are none."""

    def __init__(self, most: int = SIZE_MAX) -> None:
        """`most`: bytes that are kept of parcels with parts missing; the oldest gives way."""
        self._most = most
        self._open: OrderedDict[bytes, _Open] = OrderedDict()
        self.refused = 0

    def take(self, message: bytes) -> Parcel | None:
        """A parcel that is whole by this message."""
        if not message.startswith(MAGIC):
            return Parcel("", message)
        at = len(MAGIC) + 2
        end = at + int.from_bytes(message[len(MAGIC) : at], "little")
        try:
            head = msgspec.msgpack.decode(message[at:end], type=Head)
        except (msgspec.MsgspecError, ValueError):
            self.refused += 1
            return None
        return self._add(head, message[end:])

    def _add(self, head: Head, chunk: bytes) -> Parcel | None:
        kept = self._open.get(head.id) or _Open(head)
        if head.part in kept.chunks:
            return None
        same = msgspec.structs.replace(head, part=0) == msgspec.structs.replace(kept.head, part=0)
        if not same or head.part >= head.parts or kept.size + len(chunk) > head.size or head.size > self._most:
            self.refused += 1
            return None
        self._open[head.id] = kept
        self._open.move_to_end(head.id)
        kept.chunks[head.part] = chunk
        kept.size += len(chunk)
        if len(kept.chunks) < head.parts:
            self._make_room()
            return None
        del self._open[head.id]
        data = b"".join(kept.chunks[part] for part in range(head.parts))
        if hashlib.sha256(data).digest() != head.sha256:
            self.refused += 1
            return None
        return Parcel(safe_name(head.name) if head.name else "", data)

    def _make_room(self) -> None:
        while len(self._open) > OPEN_MAX or sum(kept.size for kept in self._open.values()) > self._most:
            self._open.popitem(last=False)
