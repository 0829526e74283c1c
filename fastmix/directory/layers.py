"""Who is in which layer, and by which number: dealt, so that nobody chooses.

Newly admitted nodes are ordered by a hash of the document before and their identity, which nobody knows when an identity is made,
and dealt one by one to the layer with fewest nodes. Where a layer is empty, or below half the mean, all are dealt anew.
"""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import count

LAYERS = (1, 2, 3)
LEAST_NODES = len(LAYERS)
"""With fewer there is no way through the network."""


def deal(before: Mapping[bytes, int], members: Iterable[bytes], previous: bytes) -> dict[bytes, int]:
    """The layer of each member's identity. `before`: those of the document before, whose 32-byte hash is `previous`."""
    members = set(members)
    layers = {identity: layer for identity, layer in before.items() if identity in members}
    _deal_out(layers, members - layers.keys(), previous)
    if len(members) >= LEAST_NODES and _is_uneven(layers):
        layers = {}
        _deal_out(layers, members, previous)
    return layers


def _deal_out(layers: dict[bytes, int], identities: Iterable[bytes], previous: bytes) -> None:
    """Each to the layer with fewest nodes, the first of several."""
    for identity in sorted(identities, key=lambda identity: hashlib.sha256(previous + identity).digest()):
        sizes = _sizes(layers)
        layers[identity] = min(LAYERS, key=lambda layer: sizes[layer])


def _is_uneven(layers: Mapping[bytes, int]) -> bool:
    sizes = _sizes(layers).values()
    return min(sizes) == 0 or 2 * min(sizes) < sum(sizes) / len(LAYERS)


def _sizes(layers: Mapping[bytes, int]) -> dict[int, int]:
    placed = list(layers.values())
    return {layer: placed.count(layer) for layer in LAYERS}


def number(
    taken: Mapping[bytes, tuple[int, ...]], resting: Iterable[int], wanted: Mapping[bytes, int]
) -> dict[bytes, tuple[int, ...]]:
    """The numbers of each identity's instances, of which `wanted` says how many. Those that an identity has it keeps; new ones
    are the lowest that nobody has and that are not `resting` after somebody left."""
    used = {each for numbers in taken.values() for each in numbers} | set(resting)
    free = (each for each in count() if each not in used)
    kept = {identity: taken.get(identity, ())[:n] for identity, n in wanted.items()}
    return {
        identity: (*kept[identity], *(next(free) for _ in range(n - len(kept[identity]))))
        for identity, n in sorted(wanted.items())
    }
