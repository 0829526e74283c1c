"""Messages in a stream: a u32 length, little endian, and so many bytes of MessagePack.

Either end asks; the answer has the question's number, so many questions share a connection. `tell` wants no answer.
"""

import struct
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fastmix.errors import NetworkFailure

LENGTH = struct.Struct("<I")
FRAME_MAX = 2 << 20
"""The longest message: a document, or a node's record, and what is around it."""
GREETING_MAX = 4096
"""Before an end has said who it is."""
ERROR_MAX = 1000


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`kind` of the message, the number of its question, what is asked or told, and the body: MessagePack of what `name` says."""

    kind: Literal["ask", "tell", "answer", "error"]
    number: Annotated[int, Meta(ge=0, lt=1 << 32)]
    name: Annotated[str, Meta(max_length=64, pattern="^[a-z_]*$")]
    body: bytes


def pack(message: Message) -> bytes:
    """As it is written. `ValueError` for one that nobody would read."""
    data = msgspec.msgpack.encode(message)
    if len(data) > FRAME_MAX:
        raise ValueError(f"a message of {len(data)} bytes, at most {FRAME_MAX} are read")
    return LENGTH.pack(len(data)) + data


class Unpacker:
    """Cuts what comes into messages. `most`: the longest that is taken at the moment."""

    def __init__(self, most: int = GREETING_MAX) -> None:
        self.most = most
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole now, one after the other, so that `most` can change between two. `NetworkFailure` for one
        that is too long, or none: the connection has to end."""
        self._data += data
        while len(self._data) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._data)
            if size > self.most:
                raise NetworkFailure(f"a message of {size} bytes was announced, at most {self.most} are taken")
            if len(self._data) < LENGTH.size + size:
                return
            message = _read(bytes(self._data[LENGTH.size : LENGTH.size + size]))
            del self._data[: LENGTH.size + size]
            yield message


def _read(data: bytes) -> Message:
    try:
        return msgspec.msgpack.decode(data, type=Message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NetworkFailure(f"a message that is none: {str(error)[:ERROR_MAX]}") from None
