"""The directory as a client follows it: documents of several nodes, whose hashes are compared, and the records that they name.

Pure: what nodes say and the time are arguments.
"""

import msgspec

from fastmix.directory.document import Document, Settings
from fastmix.directory.records import NodeRecord, open_record, record_hash
from fastmix.directory.succession import Outcome, Succession, check_proof
from fastmix.errors import CryptoError, FastmixError, NetworkFailure
from fastmix.peers.messages import RECORDS_AT_ONCE, Documents, Introduction, Records, Since, Wanted

NOTHING = bytes(32)
"""Stands for the hash of the document of who has none."""
LEADS_ON = (Outcome.TAKEN, Outcome.KNOWN, Outcome.ROLLED_BACK)
LOOK_BACK = (Outcome.FORKED, Outcome.GAP)


class Equivocation(NetworkFailure):
    """Authorities have signed two documents of one epoch. `proof`: bytes that anyone can check."""

    def __init__(self, text: str, proof: bytes) -> None:
        super().__init__(text)
        self.proof = proof


class Following:
    """What a client knows of the directory, from an introduction on."""

    def __init__(self, introduction: Introduction, now_ns: int) -> None:
        """`NetworkFailure` where what was introduced is none."""
        self.settings: Settings = introduction.settings
        self.rule = introduction.rule
        self._succession = Succession(self.settings.network, introduction.rule)
        self._records: dict[bytes, NodeRecord] = {}
        """By hash."""
        self.version = 0
        """One more whenever there is something new."""
        self.refused: dict[bytes, str] = {}
        """Hashes of records that cannot be used, and why."""
        if introduction.document:
            self._offer([introduction.document], now_ns)

    @property
    def document(self) -> Document | None:
        """The newest; None as long as there is none."""
        return None if self._succession.current is None else self._succession.current.document

    @property
    def epoch(self) -> int:
        """Of the newest; 0 for none."""
        return 0 if self.document is None else self.document.epoch

    def since(self, *, all_kept: bool = False) -> bytes:
        """The question for newer documents; with `all_kept` for all that the other end keeps."""
        known = self._succession.hash_of(self.epoch) or NOTHING
        return msgspec.msgpack.encode(Since(0, NOTHING) if all_kept else Since(self.epoch, known))

    def take(self, said: Documents, now_ns: int) -> bool:
        """Takes an answer; whether all documents that this node keeps have to be asked for, because it believes something else.

        `Equivocation` where that turns out to be so, `NetworkFailure` for documents that cannot be.
        """
        if said.proof:
            self._check(said.proof)
        before = self.epoch
        behind = self._offer(list(said.documents), now_ns)
        known = self._succession.hash_of(said.epoch)
        return behind or (before > 0 and said.epoch > 0 and known is not None and known != said.hash)

    def _offer(self, documents: list[bytes], now_ns: int) -> bool:
        """Takes documents in order; whether they follow others than are known here."""
        for at, data in enumerate(documents):
            answer = self._succession.offer(data, now_ns, missed=at + 1 < len(documents))
            if self._succession.proof is not None:
                raise _equivocation(answer.text, self._succession.proof)
            self.version += answer.outcome is Outcome.TAKEN
            if answer.outcome in LOOK_BACK:
                return True
            if answer.outcome not in LEADS_ON:
                raise NetworkFailure(f"the directory's document is refused: {answer.text}")
        if self.document is not None and self.document.settings != self.settings:
            raise NetworkFailure("the network has other settings than before: join it anew")
        return False

    def _check(self, proof: bytes) -> None:
        rules = [self.rule] + ([self.document.rule] if self.document is not None else [])
        for rule in rules:
            try:
                epoch = check_proof(proof, rule)
            except CryptoError:
                continue
            raise _equivocation(f"two documents of epoch {epoch} are signed", proof)

    def problem(self, now_ns: int) -> str:
        """Why the document cannot be gone by; empty where it can."""
        document = self.document
        if document is None:
            return "the network has no directory document yet: its authority has not signed one"
        if document.valid_until_ns <= now_ns:
            over_s = (now_ns - document.valid_until_ns) / 1e9
            return (
                f"the directory's document is over since {over_s:.0f} s, and there is no newer one: look at this machine's clock"
            )
        if not document.ready:
            n = len(document.entries)
            return f"the network is not ready: it has {n} node{'s' * (n != 1)}, and needs three, one in each layer"
        return ""

    def wanted(self) -> bytes | None:
        """The question for records that are missing; None where none is."""
        if self.document is None:
            return None
        hashes = [entry.record for entry in self.document.entries]
        missing = [each for each in hashes if each not in self._records and each not in self.refused]
        return msgspec.msgpack.encode(Wanted(tuple(missing[:RECORDS_AT_ONCE]))) if missing else None

    def give(self, records: Records, now_ns: int) -> int:
        """Takes an answer; how many of the records were new."""
        if self.document is None:
            return 0
        named = {entry.record: entry.identity for entry in self.document.entries}
        new = 0
        for data in records.records:
            hash_ = record_hash(data)
            if hash_ not in named or hash_ in self._records:
                continue
            try:
                record = open_record(data, now_ns)
                self._check_record(record, named[hash_])
            except FastmixError as error:
                self.refused[hash_] = str(error)
                continue
            self._records[hash_] = record
            new += 1
            self.version += 1
        self._records = {hash_: record for hash_, record in self._records.items() if hash_ in named}
        return new

    def _check_record(self, record: NodeRecord, identity: bytes) -> None:
        name = f"record of node {record.identity.hex()[:16]}"
        if record.identity != identity or record.network != self.settings.network or record.geometry != self.settings.geometry:
            raise NetworkFailure(f"{name}: the document names it for another node, network or geometry")

    @property
    def records(self) -> dict[bytes, NodeRecord]:
        """By identity: those of the document that are here."""
        if self.document is None:
            return {}
        return {entry.identity: self._records[entry.record] for entry in self.document.entries if entry.record in self._records}


def _equivocation(text: str, proof: bytes) -> Equivocation:
    return Equivocation(
        f"authorities of this network have signed two directory documents of one epoch ({text}): neither is believed; the "
        "network's operators have to begin anew",
        proof,
    )
