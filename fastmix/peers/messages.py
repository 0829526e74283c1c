"""What ends say to each other once they have greeted: MessagePack bodies of the questions in `Question`.

| question | asked by | body | answer |
|---|---|---|---|
| introduction | who joins | | `Introduction`: what a newcomer believes, for it knows the server's PIN |
| documents | anyone | `Since` | `Documents`: those after an epoch that are kept, in order |
| records | anyone | `Wanted` | `Records`: signed node records by their hash, as many as there are and fit |
| publish | node | `Publication` | empty, once an authority has taken it |
| leaving | node | | empty: an authority, which marks the asker in its next document |
| news | peer | | nothing: there is a document that the other end may not have |
| propose | authority | a signed document | the same, with one signature more |
| link | node, client | `LinkOffer` | an `Answer` of `links.exchange`, once frames under its root are taken |
| link_ready | node, client | the exchange's hash | empty: both ends take frames, and send under the new root |
| ping | peer | gossip of `control.liveness` | the same of the other end |
| ping_for | peer | an identity | anything, once that has answered a ping |
| clock | anyone | | `Clock`: Unix time of the other end |
"""

from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from fastmix.directory import document, records
from fastmix.directory.admission import TOKEN_SIZE
from fastmix.directory.document import Rule, Settings
from fastmix.directory.records import Number
from fastmix.directory.signed import Key
from fastmix.errors import NetworkFailure

WIRE_VERSION = 1
"""Of packets, frames and messages: both ends of a connection have the same."""
RECORDS_AT_ONCE, DOCUMENTS_AT_ONCE = 64, 64
OFFER_MAX = 2048
ANSWER_BYTES = 1 << 20
"""Lists are cut so that an answer is no longer, unless its first item is."""
T = TypeVar("T", bound=msgspec.Struct)


class Question(StrEnum):
    """What is asked."""

    INTRODUCTION = "introduction"
    DOCUMENTS = "documents"
    RECORDS = "records"
    PUBLISH = "publish"
    LEAVING = "leaving"
    NEWS = "news"
    PROPOSE = "propose"
    LINK = "link"
    LINK_READY = "link_ready"
    PING = "ping"
    PING_FOR = "ping_for"
    CLOCK = "clock"


class Introduction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network, to who joins: what all its nodes have in common, who signs its documents, and the last one."""

    settings: Settings
    rule: Rule
    document: Annotated[bytes, Meta(max_length=document.SIZE_MAX)]
    """Signed; empty as long as there is none."""


class Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The epoch that the asker has, 0 for none, and its document's hash."""

    epoch: Number
    hash: Key


class Documents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Signed documents in order of their epochs; `proof` of equivocation, where the answerer has one; the answerer's own epoch
    and hash, so that both ends see whether they believe the same."""

    epoch: Number
    hash: Key
    documents: Annotated[
        tuple[Annotated[bytes, Meta(max_length=document.SIZE_MAX)], ...], Meta(max_length=DOCUMENTS_AT_ONCE)
    ] = ()
    proof: Annotated[bytes, Meta(max_length=2 * document.SIZE_MAX)] = b""


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hashes of signed records."""

    hashes: Annotated[tuple[Key, ...], Meta(max_length=RECORDS_AT_ONCE)]


class Records(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Signed records."""

    records: Annotated[tuple[Annotated[bytes, Meta(max_length=records.SIZE_MAX)], ...], Meta(max_length=RECORDS_AT_ONCE)]


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node's signed record, and the token by which it comes in (empty: it is in, or needs none)."""

    record: Annotated[bytes, Meta(max_length=records.SIZE_MAX)]
    token: Annotated[bytes, Meta(max_length=TOKEN_SIZE)] = b""

    def __repr__(self) -> str:
        return f"Publication({len(self.record)} bytes)"


class LinkOffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`offer` is an `Offer` of `links.exchange`, whose ends are the identities of the two ends of the connection."""

    offer: Annotated[bytes, Meta(max_length=OFFER_MAX)]


class Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unix time, ns."""

    unix_ns: Number


def read(body: bytes, kind: type[T]) -> T:
    """A body of that kind; `NetworkFailure` where it is none."""
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NetworkFailure(f"what was said is no {kind.__name__}: {error}") from None


def fitting(items: list[bytes]) -> tuple[bytes, ...]:
    """As many of them, from the first on, as an answer takes; always the first."""
    total = 0
    taken: list[bytes] = []
    for item in items:
        total += len(item)
        if taken and total > ANSWER_BYTES:
            break
        taken.append(item)
    return tuple(taken)
