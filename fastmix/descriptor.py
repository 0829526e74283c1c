"""Descriptors: what a node says about its mix keys, signed by its identity. In a file that its neighbours and clients read.

Two lines: a JSON object, then the Ed25519 signature (RFC 8032) over `fastmix descriptor 1`, a zero byte and the first line, in
hex.
The object has `node` (its number), `identity`, `slot_ns`, `early_ns`, `late_ns`, `first_slot`, `valid_until_ns` (Unix time), and
`publics`, the X25519 keys of the slots from the first on, in hex.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fastmix.errors import ConfigError, CryptoError, FastmixError
from fastmix.files.durable import write_durably
from fastmix.files.private import why_unwritable
from fastmix.keys.slots import SlotTimes

CONTEXT = b"fastmix descriptor 1\0"
SIZE_MAX = 4 << 20
NAMED = 8
"""So many nodes are named in an error, at most."""
NOBODY = hashlib.blake2b(b"nobody", digest_size=31, person=b"fastmix-nobody").digest() + b"\x3f"
"""An X25519 public key whose secret nobody has: in a list's place of a slot that has no key."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """The keys of one node: `publics[i]` is that of slot `first_slot + i`. Good until `valid_until_ns`, Unix time."""

    node: int
    times: SlotTimes
    first_slot: int
    publics: tuple[bytes, ...]
    valid_until_ns: int

    def public(self, slot: int) -> bytes | None:
        """The key of a slot; None where there is none."""
        at = slot - self.first_slot
        return self.publics[at] if 0 <= at < len(self.publics) and self.publics[at] != NOBODY else None


class Signer(Protocol):
    """An identity: a node's, or that of an opened store."""

    @property
    def public(self) -> bytes:
        """Its Ed25519 public key."""

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature."""


def write_descriptor(path: Path, descriptor: Descriptor, signer: Signer) -> None:
    """Signs and replaces the file. `OSError`, or what the signer raises, leaves the old one."""
    times = descriptor.times
    body = {
        "node": descriptor.node, "identity": signer.public.hex(), "slot_ns": times.slot_ns, "early_ns": times.early_ns,
        "late_ns": times.late_ns, "first_slot": descriptor.first_slot, "valid_until_ns": descriptor.valid_until_ns,
        "publics": [public.hex() for public in descriptor.publics],
    }  # fmt: skip
    line = json.dumps(body).encode()
    signature = signer.sign(CONTEXT + line)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, line + b"\n" + signature.hex().encode() + b"\n", 0o644)


def check_place(path: Path) -> None:
    """`ConfigError` where a node could not put its descriptor there; changes nothing."""
    problem = f"{path} is a directory: move it away" if path.is_dir() else why_unwritable(path.parent)
    if problem:
        raise ConfigError(f"{path}: the descriptor could not be written: {problem}, or name another file in the network file")


def read_descriptor(path: Path, node: int, identity: bytes, now_ns: int) -> Descriptor:
    """The descriptor of a node, signed by that identity. `ConfigError` where there is no file, `CryptoError` where it is
    another's, damaged or over."""
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_MAX)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the descriptor of node {node}: {error.strerror}; is the node running?") from None
    line, _, rest = data.partition(b"\n")
    try:
        Ed25519PublicKey.from_public_bytes(identity).verify(bytes.fromhex(rest.decode().strip()), CONTEXT + line)
        descriptor = _parse(json.loads(line))
    except (InvalidSignature, ValueError, TypeError, KeyError):
        raise CryptoError(f"{path}: not a descriptor that the identity of node {node} has signed: get it anew") from None
    if descriptor.node != node:
        raise CryptoError(f"{path}: the descriptor of node {descriptor.node}, not of node {node}: get the right one")
    if descriptor.valid_until_ns <= now_ns:
        raise CryptoError(f"{path}: the descriptor of node {node} is over: get a new one, and look at this machine's clock")
    return descriptor


def check_same_slots(network_path: Path, times: Mapping[int, SlotTimes]) -> None:
    """`ConfigError` where nodes, by number, do not have slots and graces of the same lengths; it names all nodes and lengths."""
    groups: dict[SlotTimes, list[int]] = {}
    for number in sorted(times):
        groups.setdefault(times[number], []).append(number)
    if len(groups) < 2:
        return
    found = "; ".join(f"{_named(numbers)}: {each.text}" for each, numbers in groups.items())
    raise ConfigError(f"{network_path}: its nodes have slots of different lengths: {found}: give all the same [keys]")


def published_times(descriptors: Mapping[int, tuple[Path, bytes]], now_ns: int) -> dict[int, SlotTimes]:
    """Slots and graces of nodes whose descriptors can be read and are good now. `descriptors`: file and identity by number."""
    found = {}
    for number, (path, identity) in descriptors.items():
        with suppress(FastmixError):
            found[number] = read_descriptor(path, number, identity, now_ns).times
    return found


def _named(numbers: list[int]) -> str:
    """`node 1`, or `nodes 0, 2`."""
    shown = ", ".join(map(str, numbers[:NAMED])) + (f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else "")
    return f"node{'s' * (len(numbers) > 1)} {shown}"


def _parse(body: dict[str, object]) -> Descriptor:
    """What was signed: only a wrong program signs a wrong object."""
    numbers = [body[name] for name in ("node", "slot_ns", "early_ns", "late_ns", "first_slot", "valid_until_ns")]
    texts = body["publics"]
    if not all(type(number) is int for number in numbers) or not isinstance(texts, list):
        raise ValueError("kinds")
    node, slot_ns, early_ns, late_ns, first, until = (int(str(number)) for number in numbers)
    publics = tuple(bytes.fromhex(text) for text in texts)
    if any(len(public) != 32 for public in publics):
        raise ValueError("sizes")
    return Descriptor(node, SlotTimes(slot_ns, early_ns, late_ns), first, publics, until)
