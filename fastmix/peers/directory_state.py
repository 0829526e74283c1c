"""What one end knows of its network: the documents in their order, and the records that the last one names.

On disk it is one file of the introduction, with which it goes on after a restart, and one for each record. Nothing in them is
believed that is not signed.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from fastmix.directory.document import Document
from fastmix.directory.records import SIZE_MAX, NodeRecord, open_record, record_hash
from fastmix.directory.signed import decode
from fastmix.directory.succession import Answer, Outcome, Succession
from fastmix.errors import ConfigError, CryptoError, NetworkFailure
from fastmix.files.durable import write_durably
from fastmix.peers.messages import RECORDS_AT_ONCE, Documents, Introduction, Since, Wanted, fitting
from fastmix.peers.view import View, view_of

INTRODUCTION, RECORDS, PROOF = "introduction", "records", "proof"
PENDING_MAX = 256
"""Records of nodes that no document names yet."""
NONE = bytes(32)


class DirectoryState:
    """A network, from the introduction on. `folder`: where it is kept, None: nowhere. Times are Unix, in ns."""

    def __init__(self, introduction: Introduction, now_ns: int, folder: Path | None = None) -> None:
        """`CryptoError` where the introduction's document is not signed by its own rule."""
        self.settings = introduction.settings
        self.succession = Succession(introduction.settings.network, introduction.rule)
        self._folder = folder
        self._data: dict[bytes, bytes] = {}
        self._records: dict[bytes, NodeRecord] = {}
        if introduction.document:
            answer = self.succession.offer(introduction.document, now_ns, missed=True)
            if answer.outcome is not Outcome.TAKEN:
                raise CryptoError(f"the document of the introduction is {answer.text}")

    @classmethod
    def load(cls, folder: Path, now_ns: int) -> "DirectoryState | None":
        """What was kept there; None where nothing was. `ConfigError` where it is damaged."""
        path = folder / INTRODUCTION
        try:
            state = cls(decode(path.read_bytes(), Introduction, "introduction"), now_ns, folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}: check its owner and mode") from None
        except CryptoError as error:
            raise ConfigError(f"{path}: damaged: {error}: remove it, and the node joins its network anew") from None
        with suppress(FileNotFoundError):
            state.succession.prove((folder / PROOF).read_bytes())
        for kept in sorted((folder / RECORDS).glob("*")):
            with suppress(CryptoError, OSError):  # over, or damaged: it is asked for again
                state.add_record(kept.read_bytes()[: SIZE_MAX + 1], now_ns)
        return state

    @property
    def document(self) -> Document | None:
        """The last one; None where there is none yet, or authorities have signed two."""
        current = self.succession.current
        return None if current is None else current.document

    @property
    def introduction(self) -> Introduction:
        """For who comes next, and for the disk."""
        current = self.succession.current
        return Introduction(self.settings, self.succession.rule, current.envelope.to_bytes() if current else b"")

    @property
    def since(self) -> Since:
        """What to ask others for."""
        current = self.succession.current
        return Since(current.document.epoch, current.hash) if current else Since(0, NONE)

    def documents(self, since: Since) -> Documents:
        """The answer to who asks: what follows on what they have; all that is kept, where they have something else."""
        mine, epoch = self.since, since.epoch
        if epoch and self.succession.hash_of(epoch) not in (None, since.hash):
            epoch -= 1
        kept = fitting(self.succession.since(epoch))
        return Documents(mine.epoch, mine.hash, kept, self.succession.proof or b"")

    def take(self, documents: Iterable[bytes], now_ns: int) -> Answer:
        """Takes what others have answered; what became of it."""
        before = self.since
        answer = self.succession.catch_up(list(documents), now_ns)
        if self.succession.proof is not None:
            self._write(Path(PROOF), self.succession.proof)
        elif self.since != before:
            self._forget()
            self.save()
        return answer

    def take_proof(self, proof: bytes) -> bool:
        """Believes nothing more where somebody proves that authorities have signed two documents of one epoch; whether that is
        new, and so."""
        if self.succession.proof is not None or not self.succession.prove(proof):
            return False
        self._write(Path(PROOF), proof)
        return True

    def add_record(self, data: bytes, now_ns: int) -> NodeRecord:
        """Keeps a signed record that the document names, or may name soon. `CryptoError` where it is none, or of another
        network, `NetworkFailure` where too many wait for a document."""
        record, name = open_record(data, now_ns), record_hash(data)
        if record.network != self.settings.network:
            raise CryptoError(f"record of node {record.identity.hex()[:16]}: is of another network")
        if name in self._data:
            return record
        if name not in self._named and len(self._data.keys() - self._named) >= PENDING_MAX:
            raise NetworkFailure(f"{PENDING_MAX} nodes wait to be taken in already: come again later")
        self._data[name], self._records[name] = data, record
        self._write(Path(RECORDS) / name.hex(), data)
        return record

    @property
    def missing(self) -> Wanted:
        """Records that the document names and that are not here, as many as can be asked for at once."""
        return Wanted(tuple(sorted(self._named - self._data.keys())[:RECORDS_AT_ONCE]))

    def records(self, wanted: Wanted) -> tuple[bytes, ...]:
        """Those that are here, and fit into an answer."""
        return fitting([self._data[name] for name in wanted.hashes if name in self._data])

    def record(self, name: bytes) -> tuple[bytes, NodeRecord] | None:
        """By its hash, signed and opened."""
        return (self._data[name], self._records[name]) if name in self._data else None

    def pending(self) -> list[tuple[bytes, NodeRecord]]:
        """The records that the document does not name, signed and opened."""
        return [(self._data[name], self._records[name]) for name in self._data.keys() - self._named]

    def drop(self, data: bytes) -> None:
        """Forgets a record."""
        name = record_hash(data)
        self._data.pop(name, None)
        self._records.pop(name, None)
        self._unlink(name)

    def view(self) -> View | None:
        """The network as it is known now; None where there is no document."""
        document = self.document
        if document is None:
            return None
        named = {entry.identity: self._records[entry.record] for entry in document.entries if entry.record in self._records}
        return view_of(document, named)

    def save(self) -> None:
        """Keeps the introduction, for a restart. `ConfigError` where the disk takes nothing."""
        self._write(Path(INTRODUCTION), msgspec.msgpack.encode(self.introduction))

    @property
    def _named(self) -> set[bytes]:
        return {entry.record for entry in self.document.entries} if self.document else set()

    def _forget(self) -> None:
        """Older records of nodes whose newer one the document names."""
        if self.document is None:
            return
        newest = {e.identity: self._records[e.record].issued_ns for e in self.document.entries if e.record in self._records}
        for name in self._data.keys() - self._named:
            record = self._records[name]
            if record.issued_ns <= newest.get(record.identity, -1):
                self.drop(self._data[name])

    def _write(self, name: Path, data: bytes) -> None:
        if self._folder is None:
            return
        path = self._folder / name
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(path, data)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}: make room, or check the directory") from None

    def _unlink(self, name: bytes) -> None:
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / RECORDS / name.hex()).unlink(missing_ok=True)
