"""Reserved link counters on disk, so that no (key, nonce) is ever used twice, not even after everything died at once.

What a data plane has committed lives in shared memory, which is lost with the parent. Beside each link secret therefore lies
a file of each end that uses it, `<link secret>.<end>.counters`: at which step and seq the next start of a send root begins.
They are reserved in blocks of 2^22 and synced one block ahead of use; who ends in order settles them to the exact numbers.
A root is known by `LinkRoot.send_root_id`, a hash of public facts, so a new secret begins at 0 and an old one that comes
back goes on where it was: roots are never forgotten. Each file is locked, so that one secret has one user on a machine.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastmix.errors import ConfigError, CryptoError, FastmixError, ResourceExhausted
from fastmix.files.held import HeldFile
from fastmix.files.private import open_private, why_unwritable
from fastmix.network import End, Network
from fastmix.packet.geometry import COUNTER_END

BLOCK = 1 << 22
"""Numbers reserved at a time."""
FORMAT = 1
Limits = dict[bytes, tuple[int, int]]
"""Root id -> (step, seq) at which its next start begins; until then the limits of its use."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """Counters that a send root may use: from `step` and `seq`, each below its limit. At `COUNTER_END` it has ended."""

    step: int
    seq: int
    step_limit: int
    seq_limit: int


def counter_files(network: Network, me: End) -> list[Path]:
    """The file of each of an end's links, in the order of the network file: beside the link's secret, named after the end."""
    end = f"node-{me}" if isinstance(me, int) else f"client-{me.hex()[:16]}"
    secrets = [network.secret_path(link) for link in network.links_of(me)]
    return [secret.with_name(f"{secret.name}.{end}.counters") for secret in secrets]


def check_counters(files: Iterable[Path]) -> None:
    """`FastmixError` where `Reservations.open` could not use one of the files; takes and makes none, and bears that another
    process has them."""
    for path in files:
        try:
            with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
                _understood(path, file.read())
        except FileNotFoundError:
            if problem := why_unwritable(path.parent):
                raise _unusable(path, problem) from None
        except OSError as error:
            raise _unusable(path, str(error.strerror)) from None


class Reservations:
    """The counters of all send roots of one link end, whose files it holds until `close`."""

    def __init__(self, links: "dict[bytes, _LinkFile]") -> None:
        """Use `open`."""
        self._links = links

    @classmethod
    def open(cls, files: Mapping[bytes, Path], wait_s: float = 0.0) -> "Reservations":
        """Takes the file of each root id; a missing one is new and empty.

        `ConfigError` where another process has one of them (after `wait_s`), `CryptoError` where one is damaged: counters are
        then unknown. `ResourceExhausted` where it cannot be read or made.
        """
        reservations = cls({})
        try:
            for root_id, path in files.items():
                reservations._links[root_id] = _LinkFile(path, wait_s)
        except FastmixError:
            reservations.close()
            raise
        return reservations

    def close(self) -> None:
        """Frees the files."""
        for link in self._links.values():
            link.file.close()

    def begin(self, root_ids: Iterable[bytes]) -> dict[bytes, Reserved]:
        """For a start without shared memory: two blocks of each root from where the last one ended, synced before this returns.

        A root whose numbers are used up gets `COUNTER_END` throughout. `ResourceExhausted` where the disk refuses: then
        nothing is handed out.
        """
        reserved: dict[bytes, Reserved] = {}
        try:
            for root_id in root_ids:
                step, seq = self.limits(root_id)
                limits = (_ahead(step), _ahead(seq))
                self._links[root_id].store(root_id, limits)
                reserved[root_id] = Reserved(step, seq, *limits)
        except ResourceExhausted:
            for root_id, unused in reserved.items():
                with suppress(ResourceExhausted):
                    self._links[root_id].store(root_id, (unused.step, unused.seq))
            raise
        return reserved

    def limits(self, root_id: bytes) -> tuple[int, int]:
        """(step limit, seq limit) of a root; (0, 0), nothing, of one that is new."""
        return self._links[root_id].limits.get(root_id, (0, 0))

    def extend(self, root_id: bytes, step: int, seq: int) -> tuple[int, int]:
        """The limits of a root whose next counters are `step` and `seq`: where less than a block is left, more, synced first.

        `CryptoError` where a counter is beyond its limit: it was never reserved here.
        """
        limits = self._checked(root_id, step, seq)
        wanted = (_extended(step, limits[0]), _extended(seq, limits[1]))
        self._links[root_id].store(root_id, wanted)
        return wanted

    def settle(self, root_id: bytes, step: int, seq: int) -> None:
        """The use has ended for good, with `step` and `seq` next: the next start begins there. Errors as `extend`."""
        self._checked(root_id, step, seq)
        self._links[root_id].store(root_id, (step, seq))

    def adopt(self, root_id: bytes, step_limit: int, seq_limit: int) -> bool:
        """What a running data plane may use by a predecessor's word: where the file knows less, it is lost or was put back,
        and is written anew. True if so."""
        step, seq = self.limits(root_id)
        self._links[root_id].store(root_id, (max(step, step_limit), max(seq, seq_limit)))
        return (step, seq) < (step_limit, seq_limit)

    def renew(self) -> list[Path]:
        """Writes files anew that somebody has removed or replaced; their paths. `ResourceExhausted` where the disk refuses."""
        gone = [link for link in self._links.values() if not link.file.in_place()]
        for link in gone:
            link.write(link.limits)
        return [link.file.path for link in gone]

    def _checked(self, root_id: bytes, step: int, seq: int) -> tuple[int, int]:
        limits = self.limits(root_id)
        if not (0 <= step <= limits[0] and 0 <= seq <= limits[1]):
            raise CryptoError(
                f"{self._links[root_id].file.path}: counters ({step}, {seq}) are beyond the reserved {limits}: "
                "make a new link secret with `fastmix keys new` for both ends"
            )
        return limits


class _LinkFile:
    """One file: the limits of the roots that its link's secrets have had."""

    def __init__(self, path: Path, wait_s: float) -> None:
        self.pid = os.getpid()
        try:
            self.file = HeldFile(path, _encode({}), wait_s)
        except BlockingIOError:
            raise ConfigError(
                f"{path}: is in use: another node or client runs with the same end of this link: stop it first"
            ) from None
        except OSError as error:
            raise _unusable(path, str(error.strerror)) from None
        try:
            self.limits = _understood(path, self.file.read())
        except CryptoError:
            self.file.close()
            raise

    def store(self, root_id: bytes, limits: tuple[int, int]) -> None:
        """One root's limits, disk first, memory after: a failed write leaves the old ones in force."""
        if self.limits.get(root_id, (0, 0)) != limits:
            self.write(self.limits | {root_id: limits})

    def write(self, limits: Limits) -> None:
        """The whole file. Only the process that took it writes: a fork knows nothing of what its parent uses from then on."""
        if os.getpid() != self.pid:
            raise CryptoError(f"{self.file.path}: belongs to process {self.pid}; a fork of it cannot reserve counters there")
        try:
            self.file.replace(_encode(limits))
        except OSError as error:
            raise ResourceExhausted(f"{self.file.path}: cannot write the counter reservations: {error.strerror}") from None
        self.limits = limits


def _unusable(path: Path, why: str) -> ResourceExhausted:
    """What the system, or the file's place, refuses."""
    must = "link secrets must lie in a directory that this user can write"
    return ResourceExhausted(f"{path}: cannot use the counter reservations: {why}; {must}")


def _understood(path: Path, data: bytes) -> Limits:
    """What a file says; `CryptoError` where it is damaged."""
    try:
        return _decode(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f" ({error})" if type(error) is ValueError else ""  # the words of others say nothing of what to do
        raise CryptoError(
            f"{path}: the counter reservations are damaged{why}, so a key and counter could be used twice: "
            "make a new link secret with `fastmix keys new`, for both ends, then delete this file"
        ) from None


def _ahead(start: int) -> int:
    """The end of the block that begins at `start` and of the one after it."""
    return min(start + 2 * BLOCK, COUNTER_END)


def _extended(counter: int, limit: int) -> int:
    """The limit once `counter` is reached: at least one whole block is left, until the end."""
    return limit if limit - counter >= BLOCK else _ahead(counter // BLOCK * BLOCK)


def _encode(limits: Limits) -> bytes:
    """JSON of a body and its SHA-256."""
    roots = {root_id.hex(): list(pair) for root_id, pair in sorted(limits.items())}
    body = {"format": FORMAT, "roots": roots}
    return json.dumps({"body": body, "sha256": _digest(body)}, indent=1).encode() + b"\n"


def _decode(data: bytes) -> Limits:
    """The limits; `ValueError`, `KeyError`, `TypeError` or `AttributeError` for anything that `_encode` did not write."""
    whole = json.loads(data)
    body: dict[str, Any] = whole["body"]
    if whole["sha256"] != _digest(body):
        raise ValueError("its checksum is wrong")
    if body["format"] != FORMAT:
        raise ValueError(f"its format {body['format']!r} is not {FORMAT}")
    limits = {bytes.fromhex(root_id): (int(step), int(seq)) for root_id, (step, seq) in body["roots"].items()}
    if any(not 0 <= limit <= COUNTER_END for pair in limits.values() for limit in pair):
        raise ValueError("a number is out of range")
    return limits


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
