"""Reserved link counters on disk, so that no (key, nonce) is ever used twice, not even after everything died at once.

What a data plane has committed lives in shared memory, which is lost with the parent. The disk therefore knows, for each send
root, a number below which step and seq may have been used: they are reserved in blocks of 2^22 and synced one block ahead
of use. A start without the shared memory begins at the next block. A root is known by `LinkRoot.send_root_id`, a hash of public
facts, so a new secret begins at 0 and an old one that comes back goes on where it was: roots are never forgotten.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastmix.errors import CryptoError, ResourceExhausted
from fastmix.files.durable import write_durably
from fastmix.packet.geometry import COUNTER_END

BLOCK = 1 << 22
"""Numbers reserved at a time."""
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Reserved:
    """Counters that a send root may use: from `step` and `seq`, each below its limit. At `COUNTER_END` it has ended."""

    step: int
    seq: int
    step_limit: int
    seq_limit: int


class Reservations:
    """The reservation file of one node. One process uses it at a time: the control process."""

    def __init__(self, path: Path, limits: dict[bytes, tuple[int, int]]) -> None:
        """Use `open`. `limits`: root id -> (step limit, seq limit), multiples of `BLOCK`."""
        self._path = path
        self._limits = limits

    @classmethod
    def open(cls, path: str | Path) -> "Reservations":
        """Reads the file; a missing one is new and empty. `CryptoError` where it is damaged: counters are then unknown."""
        path = Path(path)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return cls(path, {})
        except OSError as error:
            raise ResourceExhausted(f"{path}: cannot read the counter reservations: {error.strerror}") from None
        try:
            return cls(path, _decode(data))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CryptoError(
                f"{path}: the counter reservations are damaged ({error}), so a key and counter could be used twice: "
                "make new link secrets with `fastmix keys new` for all links of this node, at both ends, then delete this file"
            ) from None

    def begin(self, root_ids: Iterable[bytes]) -> dict[bytes, Reserved]:
        """For a start without shared memory: a fresh block of each root and the one after it, synced before this returns.

        A root whose numbers are used up gets `COUNTER_END` throughout. `ResourceExhausted` where the disk refuses.
        """
        limits = dict(self._limits)
        reserved = {}
        for root_id in root_ids:
            step, seq = self._limits.get(root_id, (0, 0))
            limits[root_id] = (_ahead(step), _ahead(seq))
            reserved[root_id] = Reserved(step, seq, *limits[root_id])
        self._store(limits)
        return reserved

    def limits(self, root_id: bytes) -> tuple[int, int]:
        """(step limit, seq limit) of a root that this file knows; (0, 0), nothing, of another."""
        return self._limits.get(root_id, (0, 0))

    def extend(self, root_id: bytes, step: int, seq: int) -> tuple[int, int]:
        """The limits of a root whose next counters are `step` and `seq`: where less than a block is left, more, synced first.

        `ValueError` where a counter is beyond its limit: it was never reserved here.
        """
        step_limit, seq_limit = self.limits(root_id)
        if not (0 <= step <= step_limit and 0 <= seq <= seq_limit):
            raise ValueError(
                f"counters ({step}, {seq}) of root {root_id.hex()} are beyond the reserved ({step_limit}, {seq_limit})"
            )
        wanted = (_extended(step, step_limit), _extended(seq, seq_limit))
        if wanted != (step_limit, seq_limit):
            self._store(self._limits | {root_id: wanted})
        return wanted

    def _store(self, limits: dict[bytes, tuple[int, int]]) -> None:
        """Disk first, memory after: a failed write leaves the old limits in force."""
        if limits == self._limits:
            return
        try:
            write_durably(self._path, _encode(limits))
        except OSError as error:
            raise ResourceExhausted(f"{self._path}: cannot write the counter reservations: {error.strerror}") from None
        self._limits = limits


def _ahead(start: int) -> int:
    """The end of the block that begins at `start` and of the one after it."""
    return min(start + 2 * BLOCK, COUNTER_END)


def _extended(counter: int, limit: int) -> int:
    """The limit once `counter` is reached: at least one whole block is left, until the end."""
    return limit if limit - counter >= BLOCK else _ahead(counter // BLOCK * BLOCK)


def _encode(limits: dict[bytes, tuple[int, int]]) -> bytes:
    """JSON of a body and its SHA-256."""
    roots = {root_id.hex(): list(pair) for root_id, pair in sorted(limits.items())}
    body = {"format": FORMAT, "roots": roots}
    return json.dumps({"body": body, "sha256": _digest(body)}, indent=1).encode() + b"\n"


def _decode(data: bytes) -> dict[bytes, tuple[int, int]]:
    """The limits; `ValueError`, `KeyError`, `TypeError` or `AttributeError` for anything that `_encode` did not write."""
    whole = json.loads(data)
    body: dict[str, Any] = whole["body"]
    if whole["sha256"] != _digest(body):
        raise ValueError("its checksum is wrong")
    if body["format"] != FORMAT:
        raise ValueError(f"its format {body['format']!r} is not {FORMAT}")
    limits = {bytes.fromhex(root_id): (int(step), int(seq)) for root_id, (step, seq) in body["roots"].items()}
    if any(not 0 <= limit <= COUNTER_END or limit % BLOCK for pair in limits.values() for limit in pair):
        raise ValueError("a limit is none of a block")
    return limits


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
