"""Records: what a node says of itself, signed by its identity.

Addresses, geometry and version, capacity, the certificate of its TLS key, and the X25519 publics of its slots: of each
*instance*, which is one machine of the identity with a chain of its own.
"""

import hashlib
from ipaddress import ip_address
from typing import Annotated

import msgspec
from msgspec import Meta

from fastmix.directory.signed import RECORD, Envelope, Key, Signer, decode, read_envelope
from fastmix.errors import ConfigError, CryptoError
from fastmix.keys.policy import HORIZON_MAX
from fastmix.keys.slots import SlotTimes
from fastmix.packet.geometry import GEOMETRIES

INSTANCES_MAX = 2
"""A machine and its standby."""
CERTIFICATE_MAX = 2048
PUBLICS_MAX = HORIZON_MAX * 32
SIZE_MAX = INSTANCES_MAX * PUBLICS_MAX + (16 << 10)
FUTURE_NS = 300 * 10**9
"""So far ahead a clock may be that issued a record: five minutes."""
LIFE_MAX_NS = 31 * 86_400 * 10**9

Number = Annotated[int, Meta(ge=0, le=(1 << 62))]
Port = Annotated[int, Meta(ge=1, lt=1 << 16)]
NetworkId = Annotated[bytes, Meta(min_length=16, max_length=16)]


class Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An IP address in its usual form, and a port."""

    host: Annotated[str, Meta(max_length=45)]
    port: Port

    @property
    def pair(self) -> tuple[str, int]:
        """For sockets."""
        return self.host, self.port


class Instance(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One machine: where its datagrams go, and the publics of its slots from the first on, 32 bytes each."""

    data: Place
    first_slot: Number
    publics: Annotated[bytes, Meta(min_length=32, max_length=PUBLICS_MAX)]

    def public(self, slot: int) -> bytes | None:
        """The key of a slot; None where there is none."""
        at = 32 * (slot - self.first_slot)
        return self.publics[at : at + 32] if 0 <= at < len(self.publics) else None


class NodeRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a node says. Times are Unix, in ns; `capacity` in packets a second; `certificate` is DER."""

    network: NetworkId
    identity: Key
    issued_ns: Number
    valid_until_ns: Number
    wire: Annotated[int, Meta(ge=0, lt=1 << 16)]
    geometry: Annotated[str, Meta(max_length=16)]
    control: Place
    capacity: Number
    certificate: Annotated[bytes, Meta(max_length=CERTIFICATE_MAX)]
    slot_ns: Number
    early_ns: Number
    late_ns: Number
    instances: Annotated[tuple[Instance, ...], Meta(min_length=1, max_length=INSTANCES_MAX)]

    @property
    def times(self) -> SlotTimes:
        """Its slots; `ConfigError` where they cannot be."""
        return SlotTimes(self.slot_ns, self.early_ns, self.late_ns)


def sign_record(record: NodeRecord, signer: Signer) -> bytes:
    """As it travels."""
    return Envelope(msgspec.msgpack.encode(record)).signed_by(RECORD, signer).to_bytes()


def record_hash(data: bytes) -> bytes:
    """SHA-256 of a signed record, by which documents name it."""
    return hashlib.sha256(data).digest()


def open_record(data: bytes, now_ns: int) -> NodeRecord:
    """`CryptoError` says what is wrong: too long, malformed, not signed by the identity that it names, over, of the future, or
    with values that cannot be."""
    envelope = read_envelope(data, SIZE_MAX, "node record")
    record = decode(envelope.body, NodeRecord, "node record")
    name = f"record of node {record.identity.hex()[:16]}"
    if len(envelope.signatures) != 1 or envelope.signers(RECORD, [record.identity]) != {record.identity}:
        raise CryptoError(f"{name}: is not signed by that identity")
    if problem := _problem(record, now_ns):
        raise CryptoError(f"{name}: {problem}")
    return record


def _problem(record: NodeRecord, now_ns: int) -> str:
    """What of a record that its node has signed cannot be."""
    if record.valid_until_ns <= now_ns:
        return "is over: its node has to publish anew; look at this machine's clock, too"
    if record.issued_ns > now_ns + FUTURE_NS:
        return "was issued in the future: its clock or this machine's is wrong"
    if not record.issued_ns < record.valid_until_ns <= record.issued_ns + LIFE_MAX_NS:
        return "does not end within 31 days after it was issued"
    if record.geometry not in GEOMETRIES:
        return f"geometry {record.geometry!r} is not known"
    for place in (record.control, *(instance.data for instance in record.instances)):
        if not _is_usual(place.host):
            return f"address {place.host!r} is not an IP address"
    if any(len(instance.publics) % 32 for instance in record.instances):
        return "has a list of keys that is cut off"
    try:
        record.times  # noqa: B018
    except ConfigError as error:
        return str(error)
    return ""


def _is_usual(host: str) -> bool:
    """Whether it is an IP address in the one form that it is printed in."""
    try:
        return str(ip_address(host)) == host and "%" not in host
    except ValueError:
        return False
