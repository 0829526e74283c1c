"""Batched Sphinx as a library: arrays in, arrays out, one row a packet. Needs no node, no daemon and no Numba.

    secrets, publics = keypairs(3)
    packets = build_requests(data, publics[np.newaxis].repeat(n, 0), targets)  # n packets over the same three hops
    first = unwrap(packets, secrets[0])
    second = unwrap(first.packets, secrets[1])

The format is the Sphinx profile of the Substrate mixnet specification (docs/wire-format.md). In shapes, n is the number of
packets, h = 1 to 6 the hops, P the packet's size and D the data's: 1,200 and 996 bytes in geometry "wan", 2,252 and 2,048 in
"jumbo".

All functions take NumPy arrays of exactly the dtype named; an array that is not contiguous is copied, and inputs are never
changed. Wrong types and dtypes raise `TypeError`; wrong shapes, hop counts, sizes, indices, geometry names and unusable public
keys raise `ValueError`. A packet's contents never raise: what is wrong with it is its `Verdict`, or `ok` False.

`entropy` (bytes, at least one) makes a builder repeatable: its random bytes become a ChaCha20 stream keyed by
BLAKE2b-256(entropy, personalisation = `fastmix-` and what the builder builds). It is for tests: two calls with the same entropy
share their secrets. Without it the key comes from the kernel (getentropy), once a call, and is wiped after it.
"""

from fastmix.packet.verdict import Verdict
from fastmix.sphinx.build import build_covers, build_requests, build_surbs, keypairs
from fastmix.sphinx.receive import Unwrapped, unwrap
from fastmix.sphinx.reply import build_replies, open_replies

__all__ = [
    "Unwrapped",
    "Verdict",
    "build_covers",
    "build_replies",
    "build_requests",
    "build_surbs",
    "keypairs",
    "open_replies",
    "unwrap",
]
