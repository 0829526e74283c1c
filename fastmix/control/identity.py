"""Who a running node is: signs in its name, and keeps its audit log.

A node of a network whose keys rotate has an identity; one of a fixed network has a secret without an identity, and only the log.
What opens them lies in memory that control alone maps, so that the next control, after a kill, need not ask again.
"""

from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fastmix.config import MixnodeConfig
from fastmix.errors import KeyStoreError
from fastmix.files.secret import read_secret
from fastmix.keys import labels
from fastmix.keys._chain import LockedBytes
from fastmix.keys.audit import AuditLog, log_path
from fastmix.keys.hierarchy import SEED_SIZE, Identity, derived
from fastmix.network import Network
from fastmix.seam.memory import Region

EMPTY, SEED, NO_IDENTITY = range(3)
"""States of the kept memory."""


class NodeIdentity:
    """A node's identity for the life of a control. `KeyStoreError` or `ConfigError` where what opens it cannot be had."""

    def __init__(self, config: MixnodeConfig, network: Network, memory: Region) -> None:
        """`memory`: of `kept_sections`; the first control of a node fills it, a later one reads no file again."""
        node = network.node(config.number)
        self.public: bytes = node.identity or node.sphinx_public
        """The node's Ed25519 public key; in a fixed network its X25519 public key."""
        self._kept = memory["kept"]
        if self._kept["state"][0] == EMPTY:
            self._fill(config.secret_file, rotates=network.rotates)
        self._audit_key = _copied(self._kept["audit_key"][0].data)
        self.audit = AuditLog(log_path(config.secret_file), self._audit_key)
        """The node's audit log, beside its keys."""

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature of the node's identity; `KeyStoreError` where that is not to be had now."""
        if self._kept["state"][0] != SEED:
            raise KeyStoreError("this node has no identity: the network file names a sphinx_public for it")
        with _copied(self._kept["secret"][0, :SEED_SIZE].data) as seed:
            return Ed25519PrivateKey.from_private_bytes(seed.view).sign(data)

    def problem(self) -> str | None:
        """Why the node could not sign now, for its health; None where it can, or has no identity."""
        return None

    def close(self) -> None:
        """Wipes what this process has of it; the kept memory stays for the next control."""
        self._audit_key.wipe()

    def _fill(self, secret_file: Path, *, rotates: bool) -> None:
        seed = LockedBytes(SEED_SIZE)
        seed.view[:] = read_secret(secret_file)
        if rotates:
            with Identity(seed) as identity, identity.storage_key("audit") as key:
                self._keep(SEED, key, identity.seed)
        else:
            with seed, derived(seed, labels.FIXED_AUDIT) as key:
                self._keep(NO_IDENTITY, key)

    def _keep(self, state: int, audit_key: LockedBytes, secret: LockedBytes | None = None) -> None:
        """For this control and later ones. The state last: a kill before it leaves nothing that counts."""
        self._kept["audit_key"][0] = np.frombuffer(audit_key.view, np.uint8)
        if secret is not None:
            self._kept["secret"][0, : len(secret)] = np.frombuffer(secret.view, np.uint8)
            self._kept["size"] = len(secret)
        self._kept["state"] = state


def _copied(data: memoryview) -> LockedBytes:
    """The same bytes in locked memory of its own."""
    copy = LockedBytes(data.nbytes)
    copy.view[:] = data
    return copy
