"""An authority's part: who is let in, and when the next document is due.

Alone it signs what it makes. With others one proposes, the one with the lowest identity that is heard, and the rest sign what
they have made themselves from the same records, at the same moment that the proposal names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fastmix.directory.admission import Admission
from fastmix.directory.authority import GONE_NS, Member, Pen, next_document
from fastmix.directory.document import Document, Rule, Signed, open_document
from fastmix.directory.records import FUTURE_NS, NodeRecord, record_hash
from fastmix.directory.signed import Key, Signer, decode
from fastmix.errors import ConfigError, CryptoError, NetworkFailure
from fastmix.files.durable import write_durably
from fastmix.peers.directory_state import DirectoryState

RENEW_NS = 3600 * 10**9
"""A document is made anew so often, if nothing else changes: it is good for three hours."""
GAP_NS = 500_000_000
"""Between two documents, so that nodes that come together come in one."""
PEN = "pen"


class LastSigned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an authority has signed last."""

    epoch: int
    hash: Key


def pen_of(signer: Signer, folder: Path) -> Pen:
    """The pen of an authority, whose last signature is kept in a folder. `ConfigError` where that is damaged."""
    path = folder / PEN
    try:
        last = decode(path.read_bytes(), LastSigned, "pen")
    except FileNotFoundError:
        last = None
    except (OSError, CryptoError) as error:
        raise ConfigError(f"{path}: damaged: {error}: put back what says which document this authority has signed last") from None

    def keep(epoch: int, hash_: bytes) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(path, msgspec.msgpack.encode(LastSigned(epoch, hash_)))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}: nothing is signed until it can be") from None

    return Pen(signer, (last.epoch, last.hash) if last else None, keep)


@dataclass
class Author:
    """An authority's view of who belongs to the network. `admission`: whom it lets in now; `rule`: who signs the next documents;
    `seen`: whether a node is at work, as this authority sees it now."""

    state: DirectoryState
    admission: Callable[[], Admission]
    rule: Rule
    pen: Pen
    seen: Callable[[bytes], bool]
    gone: dict[bytes, int] = field(default_factory=dict)
    """Since when nodes have not been seen at work."""

    def check(self, identity: bytes, token: bytes) -> None:
        """`NetworkFailure` where that identity may not come in."""
        if identity in self._before or identity in self.rule.authorities:
            return
        if why := self.admission().refusal(identity, token):
            raise NetworkFailure(f"not admitted: {why}")

    def publish(self, data: bytes, now_ns: int, token: bytes = b"") -> NodeRecord:
        """Takes a node's record for the next document. `NetworkFailure` or `CryptoError` say why not."""
        record = self.state.add_record(data, now_ns)
        try:
            self.check(record.identity, token)
            self._check_fit(record)
        except NetworkFailure:
            self.state.drop(data)
            raise
        return record

    def due(self, now_ns: int) -> Document | None:
        """The next document, if it is time for one."""
        last = self.state.succession.current
        members = self.members(now_ns)
        if self.state.succession.proof is not None or not members:
            return None
        if last is not None:
            before = {entry.identity: (entry.record, entry.up) for entry in last.document.entries}
            after = {identity: (record_hash(member.data), member.up) for identity, member in members.items()}
            age_ns = now_ns - last.document.made_ns
            if age_ns < GAP_NS or (before == after and age_ns < RENEW_NS and last.document.rule == self.rule):
                return None
        return self._next(members, now_ns)

    def sign(self, document: Document) -> Signed:
        """With this authority's signature. `CryptoError` where it has signed another one of that epoch."""
        return self.pen.sign(document)

    def read(self, answer: bytes, document: Document) -> Signed:
        """Another authority's answer to the proposal of a document. `NetworkFailure` where it is none."""
        try:
            signed = open_document(answer)
        except CryptoError as error:
            raise NetworkFailure(f"an authority's answer: {error}") from None
        if signed.document != document:
            raise NetworkFailure("an authority has answered with another document than was proposed")
        return signed

    def countersign(self, proposal: bytes, now_ns: int) -> Signed:
        """Signs what another authority proposes, if it is what this one would have made of the same records; `CryptoError` or
        `NetworkFailure` say why not."""
        proposed = open_document(proposal)
        document = proposed.document
        if not proposed.signers(self.rule):
            raise NetworkFailure("no authority has signed the proposal")
        if abs(document.made_ns - now_ns) > FUTURE_NS:
            raise NetworkFailure("the proposal's clock and this machine's are more than five minutes apart")
        members: dict[bytes, Member] = {}
        for entry in document.entries:
            found = self.state.record(entry.record)
            if found is None:
                raise NetworkFailure(f"the record of node {entry.identity.hex()[:16]} is not known here yet")
            if self.admission().policy == "list":
                self.check(entry.identity, b"")
            members[entry.identity] = Member(*found, entry.up)
        lost = [each for each in self.members(now_ns) if each in self._before and each not in members]
        if lost:
            raise NetworkFailure(f"the proposal leaves out node {lost[0].hex()[:16]}, which is at work")
        if self._next(members, document.made_ns) != document:
            raise NetworkFailure("the proposal is not what follows from the document before")
        return proposed.with_signatures_of(self.sign(document))

    def members(self, now_ns: int) -> dict[bytes, Member]:
        """Who belongs to the network: those before that are not gone for good, and those who wait, each with its newest record
        that is still good."""
        newest: dict[bytes, tuple[bytes, NodeRecord]] = {}
        known = [self.state.record(name) for name in self._before.values()]
        for data, record in [*filter(None, known), *self.state.pending()]:
            last = newest.get(record.identity)
            if record.valid_until_ns > now_ns and (last is None or record.issued_ns > last[1].issued_ns):
                newest[record.identity] = data, record
        members = {}
        for identity, (data, record) in newest.items():
            up = self.seen(identity)
            if up:
                self.gone.pop(identity, None)
            else:
                self.gone.setdefault(identity, now_ns)
            if up or identity not in self._before or not self._is_gone(identity, now_ns):
                members[identity] = Member(data, record, up)
        return members

    @property
    def _before(self) -> Mapping[bytes, bytes]:
        """Identity -> hash of its record, in the last document."""
        document = self.state.document
        return {entry.identity: entry.record for entry in document.entries} if document else {}

    def _is_gone(self, identity: bytes, now_ns: int) -> bool:
        return now_ns - self.gone.get(identity, now_ns) >= GONE_NS

    def _next(self, members: Mapping[bytes, Member], now_ns: int) -> Document:
        succession = self.state.succession
        return next_document(succession.current, self.state.settings, self.rule, members, succession.previous, now_ns)

    def _check_fit(self, record: NodeRecord) -> None:
        """What all nodes have to have in common."""
        wanted, name = self.state.settings, f"node {record.identity.hex()[:16]}"
        for what, has, needs in (
            ("geometry", record.geometry, wanted.geometry),
            ("wire version", record.wire, wanted.wire),
            ("keys", record.times.text, wanted.times.text),
        ):
            if has != needs:
                raise NetworkFailure(f"{name} has {what} {has}, the network has {needs}: give it the same")
        known = self.state.view()
        taken = {node.address: node.identity for node in known.network.nodes} if known else {}
        for instance in record.instances:
            if taken.get(instance.data.pair, record.identity) != record.identity:
                raise NetworkFailure(f"{name} names {instance.data.pair[0]}:{instance.data.pair[1]}, which another node has")
