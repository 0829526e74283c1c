"""Which document follows which: what is offered is taken, or refused by name, and then the one before is kept.

Two documents of one epoch that enough authorities have signed are *equivocation*: both are refused, for good, and both together
are the proof, which anyone can check.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

import msgspec

from fastmix.directory.document import FIRST, Document, Rule, Signed, open_document
from fastmix.directory.records import FUTURE_NS
from fastmix.directory.signed import Envelope, decode
from fastmix.errors import CryptoError

KEPT = 64
"""So many of the last documents are kept for those who have missed some."""


class Outcome(Enum):
    """What became of a document that was offered."""

    TAKEN = "taken"
    KNOWN = "known already"
    MALFORMED = "malformed"
    FOREIGN = "of another network"
    UNDER_SIGNED = "not signed by enough authorities"
    STALE = "over"
    FUTURE = "of the future"
    ROLLED_BACK = "older than the one that is known"
    GAP = "not the next one: those between are missing"
    FORKED = "following another document than the one that is known"
    EQUIVOCATION = "one of two that were signed for the same epoch"


@dataclass(frozen=True, slots=True)
class Answer:
    """An outcome, and in which words."""

    outcome: Outcome
    reason: str = ""

    @property
    def text(self) -> str:
        """For logs."""
        return f"{self.outcome.value}: {self.reason}" if self.reason else self.outcome.value


class Proof(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Two envelopes of one epoch, both signed by enough authorities."""

    first: Envelope
    second: Envelope

    def to_bytes(self) -> bytes:
        """As it is published."""
        return msgspec.msgpack.encode(self)


def check_proof(data: bytes, rule: Rule) -> int:
    """The epoch that the authorities of a rule have signed two documents of; `CryptoError` where the bytes do not prove that."""
    proof = decode(data, Proof, "proof")
    first, second = (open_document(envelope.to_bytes()) for envelope in (proof.first, proof.second))
    if first.document.settings.network != second.document.settings.network or first.document.epoch != second.document.epoch:
        raise CryptoError("proof: its documents are of different networks or epochs")
    if first.hash == second.hash or not (first.is_signed(rule) and second.is_signed(rule)):
        raise CryptoError("proof: it has not two documents that the authorities have signed")
    return first.document.epoch


class Succession:
    """The documents of one network, as one node or client has come to know them.

    `rule`: who signs the first one that is taken; each document says who signs the next. `current` is None until there is one.
    `proof`: bytes, once there is equivocation; then nothing is taken any more until an operator begins anew.
    """

    def __init__(self, network: bytes, rule: Rule) -> None:
        self.network, self._rule = network, rule
        self.current: Signed | None = None
        self.proof: bytes | None = None
        self._kept: OrderedDict[int, tuple[Signed, Rule]] = OrderedDict()
        """Epoch: document, and the rule by which it was taken."""

    def catch_up(self, documents: list[bytes], now_ns: int) -> Answer:
        """Takes the documents that were missed, in order, of which only the last has to be good now. The first refusal, or what
        became of the last. Who was away for long may find that nobody has the very next one any more: then the first of these
        is taken if those have signed it who would have signed that one."""
        answer = Answer(Outcome.KNOWN)
        for at, data in enumerate(documents):
            answer = self.offer(data, now_ns, missed=at + 1 < len(documents), jumps=at == 0)
            if answer.outcome not in (Outcome.TAKEN, Outcome.KNOWN):
                break
        return answer

    def offer(self, data: bytes, now_ns: int, *, missed: bool = False, jumps: bool = False) -> Answer:
        """Takes a document, or says why not; then nothing has changed, unless it is equivocation. `now_ns`: Unix time. `missed`:
        it may be over, for it only leads on to a newer one. `jumps`: it need not be the very next one."""
        try:
            signed = open_document(data)
        except CryptoError as error:
            return Answer(Outcome.MALFORMED, str(error))
        document = signed.document
        if document.settings.network != self.network:
            return Answer(Outcome.FOREIGN, f"of network {document.settings.network.hex()}, not {self.network.hex()}")
        if document.epoch in self._kept:
            return self._same_epoch(signed)
        if self.proof is not None:
            return Answer(Outcome.EQUIVOCATION, "authorities have signed two documents of one epoch: see the proof")
        answer = self._refusal(document, now_ns, missed=missed) or self._in_order(signed, jumps=jumps)
        if answer is not None:
            return answer
        rule = self._next_rule
        self._kept[document.epoch] = signed, rule
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        self.current = signed
        return Answer(Outcome.TAKEN)

    @property
    def rule(self) -> Rule:
        """Who has signed the current document; while there is none, who will have to sign the first."""
        return self._rule if self.current is None else self._kept[self.current.document.epoch][1]

    @property
    def _next_rule(self) -> Rule:
        return self._rule if self.current is None else self.current.document.rule

    def _same_epoch(self, signed: Signed) -> Answer:
        known, rule = self._kept[signed.document.epoch]
        if known.hash == signed.hash:
            return Answer(Outcome.KNOWN)
        if not signed.is_signed(rule):
            return self._under_signed(signed, rule)
        self.proof = Proof(known.envelope, signed.envelope).to_bytes()
        self.current = None
        return Answer(Outcome.EQUIVOCATION, f"two documents of epoch {signed.document.epoch} are signed")

    def prove(self, data: bytes) -> bool:
        """Takes somebody's proof of equivocation; False where it is none by the rules that are known here."""
        try:
            epoch = open_document(decode(data, Proof, "proof").first.to_bytes()).document.epoch
            check_proof(data, self._kept[epoch][1] if epoch in self._kept else self._next_rule)
        except CryptoError:
            return False
        self.proof, self.current = data, None
        return True

    def _refusal(self, document: Document, now_ns: int, *, missed: bool) -> Answer | None:
        if document.valid_until_ns <= now_ns and not missed:
            return Answer(
                Outcome.STALE, f"epoch {document.epoch} was good until {(now_ns - document.valid_until_ns) / 1e9:.0f} s ago"
            )
        if document.made_ns > now_ns + FUTURE_NS:
            return Answer(Outcome.FUTURE, "its maker's clock or this machine's is wrong")
        if self.current is not None and document.epoch < self.current.document.epoch:
            return Answer(Outcome.ROLLED_BACK, f"epoch {document.epoch}, but {self.current.document.epoch} is known")
        return None

    def _in_order(self, signed: Signed, *, jumps: bool) -> Answer | None:
        """None where the document follows the current one and is signed."""
        document = signed.document
        if not signed.is_signed(rule := self._next_rule):
            return self._under_signed(signed, rule)
        if self.current is None:
            return None
        epoch = self.current.document.epoch
        if document.epoch > epoch + 1:
            return None if jumps else Answer(Outcome.GAP, f"epoch {document.epoch}, but {epoch} is known")
        if document.previous != self.current.hash:
            return Answer(Outcome.FORKED, f"epoch {document.epoch} follows another document of epoch {epoch}")
        return None

    def _under_signed(self, signed: Signed, rule: Rule) -> Answer:
        n = len(signed.signers(rule))
        return Answer(Outcome.UNDER_SIGNED, f"by {n} of {len(rule.authorities)} authorities, of which {rule.threshold} have to")

    def hash_of(self, epoch: int) -> bytes | None:
        """For comparison with others; None where that epoch is not known any more."""
        found = self._kept.get(epoch)
        return found[0].hash if found else None

    def since(self, epoch: int) -> list[bytes]:
        """The documents after an epoch that are kept, in order."""
        return [signed.envelope.to_bytes() for known, (signed, _) in self._kept.items() if known > epoch]

    @property
    def previous(self) -> bytes:
        """What the next document has to name."""
        return FIRST if self.current is None else self.current.hash
