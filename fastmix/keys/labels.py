"""Every label under which a key is derived from the identity seed (HKDF-SHA256, RFC 5869, `info`), in one table.

A label is used for one thing and never again for another; none begins with another one, so no two inputs of HKDF can be equal.
Mix keys are not here: they come from a chain of their own and nobody can derive them from the seed. The labels of links' roots
stand in `fastmix/links/static.py`; their input is a link's secret, never the seed.
"""

IDENTITY = b"fastmix identity v1"
"""The Ed25519 key that is the node's identity: it signs descriptors."""
TLS = b"fastmix tls v1"
"""The Ed25519 key of the node's TLS certificate."""
STORAGE = {
    "audit": b"fastmix storage audit v1",  # HMAC-SHA256 of the audit log and its head
}
"""Purpose of a storage key: its label."""

FIXED_AUDIT = b"fastmix fixed audit v1"
"""The same key of a node without an identity; here HKDF's input is its X25519 secret, never a seed."""

LABELS = (IDENTITY, TLS, *STORAGE.values(), FIXED_AUDIT)
"""All of them."""
