"""The next document: it follows from the one before, from who is admitted and from what their records say. Whoever has the same
three makes the same bytes, so an authority signs only what it has made itself.

An authority never signs two documents of one epoch: `Pen` writes down epoch and hash, durably, before a signature leaves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastmix.directory.document import LIFE_NS, REST_NS, Document, Entry, Rule, Settings, Signed, is_ready, unsigned
from fastmix.directory.layers import deal, number
from fastmix.directory.records import NodeRecord, record_hash
from fastmix.directory.signed import Signer
from fastmix.errors import CryptoError

GONE_NS = REST_NS
"""A node that was not at work for so long has left."""


@dataclass(frozen=True, slots=True)
class Member:
    """An admitted node: its signed record as bytes and as it was opened, and whether it is seen at work."""

    data: bytes
    record: NodeRecord
    up: bool


def next_document(
    before: Signed | None, settings: Settings, rule: Rule, members: Mapping[bytes, Member], previous: bytes, now_ns: int
) -> Document:
    """The document after `before` (None: the first), whose hash is `previous`. `members`: identity -> what is known of it."""
    last = before.document if before else None
    entries = {entry.identity: entry for entry in last.entries} if last else {}
    resting = {each: until for each, until in (last.resting if last else ()) if until > now_ns}
    left = (each for identity, entry in entries.items() if identity not in members for each in entry.numbers)
    resting |= dict.fromkeys(left, now_ns + REST_NS)
    taken = {identity: entry.numbers for identity, entry in entries.items() if identity in members}
    numbers = number(taken, resting, {identity: len(member.record.instances) for identity, member in members.items()})
    layers = deal(last.layers if last else {}, members, previous)
    made = tuple(
        Entry(identity, numbers[identity], layers[identity], record_hash(member.data), member.up)
        for identity, member in sorted(members.items())
    )
    return Document(
        settings, last.epoch + 1 if last else 1, previous, now_ns, now_ns + LIFE_NS, rule, is_ready(made), made,
        tuple(sorted(resting.items())),
    )  # fmt: skip


class Pen:
    """An authority's signature, at most one for an epoch.

    `last`: what it has signed last, with its signature; `keep` has it durable, and must not return before it is.
    """

    def __init__(self, signer: Signer, last: Signed | None, keep: Callable[[Signed], None]) -> None:
        self._signer, self.last, self._keep = signer, last, keep

    def sign(self, document: Document) -> Signed:
        """`CryptoError` where another one of that epoch, or one of a later epoch, was signed before."""
        fresh, last = unsigned(document), self.last
        if last is not None and last.hash == fresh.hash:
            return last
        if last is not None and document.epoch <= last.document.epoch:
            raise CryptoError(
                f"epoch {document.epoch}: this authority has signed another document of epoch {last.document.epoch}"
            )
        signed = fresh.signed_by(self._signer)
        self._keep(signed)
        self.last = signed
        return signed
