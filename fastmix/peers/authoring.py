"""An authority's part: who is let in, and when the next document is due.

Alone it signs what it makes. With others one proposes, the one with the lowest identity that is heard, and the rest sign what
they have made themselves from the same records, at the moment that the proposal names. Who proposes signs last, so that a
proposal that finds nobody binds nobody. An authority that has signed another proposal of that epoch answers with that one, and
then it is completed: whoever dies in the middle, there is one document of an epoch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastmix.directory.admission import Admission
from fastmix.directory.authority import GONE_NS, Member, Pen, next_document
from fastmix.directory.document import Document, Rule, Signed, open_document
from fastmix.directory.records import FUTURE_NS, NodeRecord, record_hash
from fastmix.directory.signed import Signer
from fastmix.errors import ConfigError, CryptoError, NetworkFailure
from fastmix.files.durable import write_durably
from fastmix.peers.directory_state import DirectoryState

RENEW_NS = 3600 * 10**9
"""A document is made anew so often, if nothing else changes: it is good for three hours."""
GAP_NS = 500_000_000
"""Between two documents, so that nodes that come together come in one."""
RECORDS_NS = 60 * 10**9
"""So long an authority waits for a record that it lacks, before its node is left out."""
PEN = "pen"


def pen_of(signer: Signer, folder: Path) -> Pen:
    """The pen of an authority, whose last signature is kept in a folder. `ConfigError` where that is damaged."""
    path = folder / PEN
    try:
        last = open_document(path.read_bytes())
    except FileNotFoundError:
        last = None
    except (OSError, CryptoError) as error:
        raise ConfigError(f"{path}: damaged: {error}: put back what says which document this authority has signed last") from None

    def keep(signed: Signed) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(path, signed.envelope.to_bytes())
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}: nothing is signed until it can be") from None

    return Pen(signer, last, keep)


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
    lacking_since_ns: int | None = None
    leaving: set[bytes] = field(default_factory=set)
    """Nodes that have said that they go, and have not said anything of themselves since."""

    def check(self, identity: bytes, token: bytes) -> None:
        """`NetworkFailure` where that identity may not come in."""
        if identity in self._before or identity in self.rule.authorities:
            return
        if why := self.admission().refusal(identity, token):
            raise NetworkFailure(f"not admitted: {why}")

    def publish(self, data: bytes, now_ns: int, token: bytes = b"", *, vouched: bool = False) -> NodeRecord:
        """Takes a node's record for the next document. `vouched`: another authority has let it in. `NetworkFailure` or
        `CryptoError` say why not."""
        record = self.state.add_record(data, now_ns)
        try:
            if not vouched or self.admission().policy == "list":
                self.check(record.identity, token)
            self._check_fit(record)
            self.leaving.discard(record.identity)
        except NetworkFailure:
            self.state.drop(data)
            raise
        return record

    @property
    def begun(self) -> Signed | None:
        """What this authority has signed and nobody has taken yet: a kill, or the death of another authority, came between."""
        last = self.pen.last
        return last if last is not None and last.document.previous == self.state.succession.previous else None

    def due(self, now_ns: int) -> Document | None:
        """The next document, if it is time for one; first what was begun."""
        if self.begun is not None:
            return self.begun.document
        last = self.state.succession.current
        if self.state.succession.proof is not None or self._waits_for_records(now_ns):
            return None
        members = self.members(now_ns)
        if not members:
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

    def _waits_for_records(self, now_ns: int) -> bool:
        """A node whose record is lacking would be left out: another one may have it."""
        if not self.state.missing.hashes:
            self.lacking_since_ns = None
            return False
        self.lacking_since_ns = self.lacking_since_ns or now_ns
        return now_ns - self.lacking_since_ns < RECORDS_NS

    def proposes(self, me: bytes, *, founds: bool) -> bool:
        """Whether it is this authority's turn: the lowest that is at work. `founds`: the first document is for it to make."""
        if self.state.document is None:
            return founds
        return me == min(each for each in self.rule.authorities if each == me or self.seen(each))

    def read(self, answer: bytes) -> Signed:
        """Another authority's answer to a proposal. `NetworkFailure` where it is none."""
        try:
            return open_document(answer)
        except CryptoError as error:
            raise NetworkFailure(f"an authority's answer: {error}") from None

    def countersign(self, proposal: Signed, now_ns: int) -> Signed:
        """Signs what another authority proposes, if it is what this one would have made of the same records; what it has signed
        of that epoch, where there is such a thing already. `NetworkFailure` says why not."""
        last, document = self.pen.last, proposal.document
        if (
            last is not None
            and last.document.epoch == document.epoch
            and last.document.previous == self.state.succession.previous
        ):
            return last
        if abs(document.made_ns - now_ns) > FUTURE_NS:
            raise NetworkFailure("the proposal's clock and this machine's are more than five minutes apart")
        self._check(document, now_ns)
        try:
            return self.sign(document)
        except CryptoError as error:
            raise NetworkFailure(str(error)) from None

    def _check(self, document: Document, now_ns: int) -> None:
        """Whether a proposal is what follows from the document before, and from records that are known here."""
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
            raise NetworkFailure(f"the proposal leaves out node {lost[0].hex()[:16]}, which belongs to the network")
        if self._next(members, document.made_ns) != document:
            raise NetworkFailure("the proposal is not what follows from the document before")

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
            up = self.seen(identity) and identity not in self.leaving
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
