"""The document: who is in the network, in which layer and by which number, as k of n authorities have signed it.

Each names the SHA-256 of the body of the one before, so that documents are a chain; and the authorities that sign the next one.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from fastmix.directory.layers import LAYERS, LEAST_NODES
from fastmix.directory.records import INSTANCES_MAX, NetworkId, Number
from fastmix.directory.signed import DOCUMENT, SIGNATURES_MAX, Envelope, Key, Signer, decode, read_envelope
from fastmix.errors import ConfigError, CryptoError
from fastmix.keys.slots import SlotTimes
from fastmix.network import CLASSES, INDEX_END
from fastmix.packet.geometry import GEOMETRIES

NODES_MAX = 4096
SIZE_MAX = 1 << 20
LIFE_NS = 3 * 3600 * 10**9
"""No document is good for longer than three hours."""
REST_NS = 26 * 3600 * 10**9
"""A number is not given to another identity for so long: longer than any packet or SURB can name it."""
FIRST = bytes(32)
"""Stands for the hash of the document before the first."""

NodeNumber = Annotated[int, Meta(ge=0, lt=INDEX_END)]


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A node: a number for each instance, its layer, the hash of its signed record, and whether authorities see it at work."""

    identity: Key
    numbers: Annotated[tuple[NodeNumber, ...], Meta(min_length=1, max_length=INSTANCES_MAX)]
    layer: Annotated[int, Meta(ge=LAYERS[0], le=LAYERS[-1])]
    record: Key
    up: bool


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all nodes have in common. Times in ns."""

    network: NetworkId
    wire: Annotated[int, Meta(ge=0, lt=1 << 16)]
    geometry: Annotated[str, Meta(max_length=16)]
    classes: Annotated[int, Meta(ge=1, le=4)]
    mean_delay_ns: Number
    slot_ns: Number
    early_ns: Number
    late_ns: Number

    @property
    def times(self) -> SlotTimes:
        """The slots; `ConfigError` where they cannot be."""
        return SlotTimes(self.slot_ns, self.early_ns, self.late_ns)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has to sign: `threshold` of these identities."""

    authorities: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=SIGNATURES_MAX)]
    threshold: Annotated[int, Meta(ge=1, le=SIGNATURES_MAX)]


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One epoch. `rule` is for the next one. `resting`: numbers of nodes that have left, and until when nobody gets them."""

    settings: Settings
    epoch: Number
    previous: Key
    made_ns: Number
    valid_until_ns: Number
    rule: Rule
    ready: bool
    entries: Annotated[tuple[Entry, ...], Meta(max_length=NODES_MAX)]
    resting: Annotated[tuple[tuple[NodeNumber, Number], ...], Meta(max_length=INDEX_END)] = ()

    @property
    def layers(self) -> dict[bytes, int]:
        """Identity -> layer."""
        return {entry.identity: entry.layer for entry in self.entries}


@dataclass(frozen=True, slots=True)
class Signed:
    """A document that was opened, and the envelope that it came in."""

    document: Document
    envelope: Envelope

    @property
    def hash(self) -> bytes:
        """SHA-256 of what was signed."""
        return hashlib.sha256(self.envelope.body).digest()

    def signers(self, rule: Rule) -> set[bytes]:
        """The authorities of a rule that have signed it."""
        return self.envelope.signers(DOCUMENT, rule.authorities)

    def is_signed(self, rule: Rule) -> bool:
        """Whether enough of them have."""
        return len(self.signers(rule)) >= rule.threshold

    def signed_by(self, signer: Signer) -> "Signed":
        """With one signature more."""
        return Signed(self.document, self.envelope.signed_by(DOCUMENT, signer))

    def with_signatures_of(self, other: "Signed") -> "Signed":
        """With those, too, that another envelope of the same body has."""
        pairs = dict(other.envelope.signatures) | dict(self.envelope.signatures)
        return Signed(self.document, Envelope(self.envelope.body, tuple(sorted(pairs.items()))[:SIGNATURES_MAX]))


def unsigned(document: Document) -> Signed:
    """As authorities begin with it."""
    return Signed(document, Envelope(msgspec.msgpack.encode(document)))


def open_document(data: bytes) -> Signed:
    """`CryptoError` says what is wrong: too long, malformed, or with values that contradict each other. Whose signatures it needs
    is for `succession` to say."""
    envelope = read_envelope(data, SIZE_MAX, "document")
    document = decode(envelope.body, Document, "document")
    if problem := _problem(document):
        raise CryptoError(f"document of epoch {document.epoch}: {problem}")
    return Signed(document, envelope)


def _problem(document: Document) -> str:
    """What of a document cannot be, whoever has signed it."""
    settings, rule = document.settings, document.rule
    if settings.geometry not in GEOMETRIES:
        return f"geometry {settings.geometry!r} is not known"
    if settings.classes not in CLASSES:
        return f"classes {settings.classes} is none of {', '.join(map(str, CLASSES))}"
    if not 0 < document.valid_until_ns - document.made_ns <= LIFE_NS:
        return "is not good for more than nothing and at most three hours"
    if len(set(rule.authorities)) != len(rule.authorities) or rule.threshold > len(rule.authorities):
        return f"needs {rule.threshold} signatures of {len(set(rule.authorities))} authorities"
    numbers = [number for entry in document.entries for number in entry.numbers]
    if len(set(numbers)) != len(numbers) or len(document.layers) != len(document.entries):
        return "names an identity or a number twice"
    if any(settings.classes * number >= INDEX_END for number in numbers):
        return f"has a number of which no mixnode index follows in {settings.classes} classes"
    if document.ready != is_ready(document.entries):
        return "says the wrong thing about being ready"
    try:
        settings.times  # noqa: B018
    except ConfigError as error:
        return str(error)
    return ""


def is_ready(entries: tuple[Entry, ...]) -> bool:
    """Whether there is a way through all layers."""
    return len(entries) >= LEAST_NODES and {entry.layer for entry in entries} == set(LAYERS)
