"""Backends: places that carry the directory's bytes besides the nodes themselves. Nobody trusts one: what they carry is signed,
and who fetches it opens it as if a stranger had sent it. All that a backend can do is to withhold.

`file` is a directory of files, `dns` finds the first nodes by a domain's name, `etcd` is a fleet's etcd.
"""

import re
from collections.abc import AsyncIterator
from typing import Literal, Protocol

from fastmix.directory import document, records

Kind = Literal["document", "record", "bootstrap"]
"""Signed documents by epoch, signed node records by identity, and bootstrap texts."""
SIZE_MAX: dict[Kind, int] = {"document": document.SIZE_MAX, "record": records.SIZE_MAX, "bootstrap": 512}
NUMBER_MAX: dict[Kind, int] = {"document": 64, "record": document.NODES_MAX, "bootstrap": 64}
"""So many of a kind are carried: of documents the last by key."""
TOTAL_MAX = 64 << 20
"""Bytes that one `fetch` returns at most."""
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")


class Backend(Protocol):
    """One of them. All but `watch` raise `NetworkFailure`, which names the place and a remedy, where it cannot be reached."""

    async def publish(self, kind: Kind, key: str, data: bytes) -> None:
        """Puts bytes there; those of the same key before are gone. `ValueError` for what `check` refuses."""
        ...

    async def fetch(self, kind: Kind) -> dict[str, bytes]:
        """What is there, by key, in the order of keys: as many and as much as the bounds say, and the rest left out."""
        ...

    def watch(self) -> AsyncIterator[None]:
        """Yields at once, and then each time something may have changed. Outlives failures: it goes on when the place is back."""
        ...

    async def close(self) -> None:
        """Ends it, and every `watch`."""
        ...


def epoch_key(epoch: int) -> str:
    """A document's key: in order of epochs."""
    return f"{epoch:020d}"


def is_key(text: str) -> bool:
    """Whether it can be a key: 1 to 80 of a-z, 0-9, _ and -."""
    return _KEY.fullmatch(text) is not None


def check(kind: Kind, key: str, data: bytes) -> None:
    """`ValueError` for what no backend carries."""
    if not is_key(key):
        raise ValueError(f"key {key!r} is not 1 to 80 of a-z, 0-9, _ and -")
    if len(data) > SIZE_MAX[kind]:
        raise ValueError(f"{kind} {key} has {len(data)} bytes, at most {SIZE_MAX[kind]} are carried")
