"""Who a running node is: signs in its name, and keeps its audit log.

A node of a network whose keys rotate has an identity in an encrypted store; one of a fixed network has a secret without an
identity, and only the log. What opens them lies in memory that controls alone map, so that the next one, after a kill, need not
ask again:

| the store's key is kept by | in that memory, besides the audit log's key |
|---|---|
| a passphrase | the seed |
| a PKCS#11 token | its PIN: each signature takes the token |
| a TPM | nothing: each signature takes the chip |
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fastmix.config import IdentityConfig, MixnodeConfig
from fastmix.control.agreement import check_keys, check_secret
from fastmix.errors import ConfigError, KeyStoreError
from fastmix.files.durable import sweep
from fastmix.files.secret import read_secret
from fastmix.keys import labels
from fastmix.keys._chain import LockedBytes
from fastmix.keys.audit import AuditLog, log_path
from fastmix.keys.hierarchy import Identity, derived
from fastmix.keys.pkcs11 import Pkcs11Wrapping
from fastmix.keys.store import Sealed, read_store, unsealed
from fastmix.keys.unlock import asking, check_kind, wrapping_of
from fastmix.keys.wrapping import PassphraseWrapping, Wrapping
from fastmix.network import Network
from fastmix.seam.memory import Region

log = logging.getLogger(__name__)
LOOK_S = 3.0
"""Between two looks whether store and token are there."""
BUSY_S = 5.0
"""So long a signature waits for a look that is going on."""
EMPTY, FIXED, SEED, TOKEN, AWAY = range(5)
"""States of the kept memory. AWAY: the token was not there at the start, so even the audit log's key is unknown."""
NO_MORE = "not tried again before the token was away, or control starts again: tries may be few"


class NodeIdentity:
    """A node's identity for the life of a control. `KeyStoreError` or `ConfigError` where it cannot be opened."""

    def __init__(self, config: MixnodeConfig, network: Network, memory: Region) -> None:
        """`memory`: of `kept_sections`; the first control of a node fills it, a later one asks nobody."""
        node = network.node(config.number)
        self.public: bytes = node.identity or node.sphinx_public
        """The node's Ed25519 public key; in a fixed network its X25519 public key."""
        self._settings = config.identity
        self._kept = memory["kept"]
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._problem: str | None = None
        self._refused: str | None = None
        self._is_watched = False
        if self._state == EMPTY:
            check_keys(network, config)
            if config.identity is None:
                self._fill_fixed(network, config)
            else:
                self._fill(config.identity)
        keys = config.secret_file if config.identity is None else config.identity.store
        assert keys is not None  # a configuration has one of the two
        self._key = _copied(self._kept["audit_key"][0])
        self.audit: AuditLog = NodeLog(log_path(keys), self._key, self._why_no_log)
        """The node's audit log, beside its keys. Where its key is not to be had now, each use is refused: `KeyStoreError`."""

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature of the node's identity; `KeyStoreError` where that is not to be had now."""
        if self._state == FIXED:
            raise KeyStoreError("this node has no identity: the network file names a sphinx_public for it")
        if self._is_watched and self._problem and self._state != SEED:
            raise KeyStoreError(self._problem)  # the watch says when that is over: whoever signs does not wait for a token
        if not self._turn.acquire(timeout=BUSY_S):
            self._problem = f"the token has not answered for {BUSY_S:.0f} s: look whether it is there"
            raise KeyStoreError(self._problem)
        try:
            with self._opened() as identity:
                return identity.sign(data)
        except KeyStoreError as error:
            self._problem = str(error)
            raise
        finally:
            self._turn.release()

    def tls_private_key(self) -> Ed25519PrivateKey:
        """The key of the node's TLS certificate; `KeyStoreError` where the identity is not to be had now."""
        with self._turn, self._opened() as identity:
            return identity.tls_private_key()

    def problem(self) -> str | None:
        """Why the node could not sign now, or not start again: store, token or TPM; None where all are there. Never blocks."""
        return self._problem

    def watch(self) -> None:
        """Looks after them from now on, in a thread of its own, for a token may take its time."""
        self._is_watched = True
        threading.Thread(target=self._watch, name="identity", daemon=True).start()

    def look(self) -> None:
        """Looks once."""
        if self._state != FIXED:
            with self._turn:
                self._problem = self._found_wrong()

    def close(self) -> None:
        """Wipes what this process has of it; the kept memory stays for the next control."""
        self._ended.set()
        self._key.wipe()

    def _why_no_log(self) -> str | None:
        return self._problem or "it has not been opened yet" if self._state == AWAY else None

    @property
    def _state(self) -> int:
        return int(self._kept["state"][0])

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            self.look()

    def _found_wrong(self) -> str | None:
        try:
            sealed = self._sealed()
            gone = None if self._state == SEED else self._wrapping(sealed).problem()
            if gone:
                self._refused = None
                return gone
            if self._state == AWAY:
                with self._opened() as identity:
                    self._keep(TOKEN, identity)
                self._key.view[:] = self._kept["audit_key"][0].data
        except (KeyStoreError, ConfigError) as error:
            return str(error)
        return self._refused

    @contextmanager
    def _opened(self) -> Iterator[Identity]:
        """The identity, while a `with` lasts. A token that is there and refuses is not asked again: it may lock itself."""
        if self._state == SEED:
            with Identity(_copied(self._kept["seed"][0])) as identity:
                yield identity
            return
        if self._refused:
            raise KeyStoreError(self._refused)
        sealed = self._sealed()
        wrapping = self._wrapping(sealed)
        try:
            opened = unsealed(sealed, wrapping)
        except KeyStoreError as error:
            if wrapping.problem() is None:
                self._refused = f"{error}; {NO_MORE}"
            raise
        with opened:
            yield opened

    def _sealed(self) -> Sealed:
        """The store as it is on disk; `KeyStoreError` where it is not whole, or another's by now."""
        sealed = read_store(self._identity.store)
        check_kind(sealed)
        if sealed.public != self.public:
            raise KeyStoreError(f"{sealed.path}: has become the store of another identity: put the node's own back")
        return sealed

    @property
    def _identity(self) -> IdentityConfig:
        assert self._settings is not None
        return self._settings

    def _wrapping(self, sealed: Sealed) -> Wrapping:
        return wrapping_of(sealed.wrapping, self._identity, self._asked, as_key)

    def _asked(self) -> LockedBytes:
        """Passphrase or PIN, for which nobody is asked twice."""
        size = int(self._kept["asked_size"][0])
        if size:
            return _copied(self._kept["asked"][0, :size])
        answer = asking(self._identity, f"passphrase of {self._identity.store}", as_key)()
        self._kept["asked"][0, : len(answer)] = np.frombuffer(answer.view, np.uint8)
        self._kept["asked_size"] = len(answer)
        return answer

    def _fill_fixed(self, network: Network, config: MixnodeConfig) -> None:
        assert config.secret_file is not None
        secret = read_secret(config.secret_file)
        check_secret(network, config, secret)
        with LockedBytes(len(secret)) as locked:
            locked.view[:] = secret
            with derived(locked, labels.FIXED_AUDIT) as key:
                self._kept["audit_key"][0] = np.frombuffer(key.view, np.uint8)
        self._kept["state"] = FIXED

    def _fill(self, settings: IdentityConfig) -> None:
        sweep(settings.store)
        sealed = self._sealed()
        wrapping = self._wrapping(sealed)
        if sealed.wrapping == Pkcs11Wrapping.name:
            self._asked().wipe()  # now: later, when the token comes back, there may be nobody to ask
        try:
            with unsealed(sealed, wrapping) as identity:
                self._keep(SEED if sealed.wrapping == PassphraseWrapping.name else TOKEN, identity)
        except KeyStoreError:
            self._problem = wrapping.problem()
            if self._problem is None or settings.without_token == "refuse":
                raise
            log.error("%s; the node goes on to the end of what it has published", self._problem)
            self._kept["state"] = AWAY

    def _keep(self, state: int, identity: Identity) -> None:
        """For this control and later ones. The state last: a kill before it leaves nothing that counts."""
        with identity.storage_key("audit") as key:
            self._kept["audit_key"][0] = np.frombuffer(key.view, np.uint8)
        if state == SEED:
            self._kept["seed"][0] = np.frombuffer(identity.seed.view, np.uint8)
        self._kept["state"] = state
        if state == SEED:
            self._kept["asked_size"], self._kept["asked"] = 0, 0


class NodeLog(AuditLog):
    """An audit log whose key may be where a token is."""

    def __init__(self, path: Path, key: LockedBytes, missing: Callable[[], str | None]) -> None:
        """`missing` says why there is no key at the moment, or None."""
        super().__init__(path, key)
        self._missing = missing

    def _open(self) -> int:
        if why := self._missing():
            raise KeyStoreError(f"{self.path}: cannot be written: its key is in the identity's store: {why}")
        return super()._open()


def as_key(name: str) -> str:
    """`identity.passphrase_file`."""
    return f"identity.{name}"


def _copied(data: npt.NDArray[np.uint8]) -> LockedBytes:
    """The same bytes in locked memory of its own."""
    copy = LockedBytes(data.nbytes)
    copy.view[:] = data.data
    return copy
