"""A PKCS#11 token keeps the key: AES-256-GCM with a key that never leaves it (PKCS #11 v3.1; python-pkcs11, `fastmix[hsm]`).

The blob names the token's key by its CKA_ID. What the token gives back, and the PIN, pass through Python's memory, which cannot
be locked: python-pkcs11 speaks in `bytes` and `str`.
"""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastmix.errors import KeyStoreError
from fastmix.keys._chain import LockedBytes
from fastmix.keys.wrapping import KEY_SIZE, TAG_SIZE

if TYPE_CHECKING:
    from pkcs11 import Session

KEY_ID_SIZE, NONCE_SIZE = 16, 12
BLOB = struct.Struct(f"<{KEY_ID_SIZE}s{NONCE_SIZE}s{KEY_SIZE + TAG_SIZE}s")
"""CKA_ID of the token's key, nonce, the sealed key."""
LABEL = b"fastmix pkcs11 wrapping v1"
KEY_LABEL = "fastmix"
"""CKA_LABEL of the key that is made in a token; for people, nothing looks for it."""


class Pkcs11Wrapping:
    """A token of one PKCS#11 module; each use opens a session of its own, so a token that was gone may come back."""

    name = "pkcs11"

    def __init__(self, module: Path, token: str, pin: Callable[[], LockedBytes]) -> None:
        """`module` is the vendor's library, `token` the token's label; `pin` is asked for at each use."""
        self._module, self._token, self._pin = module, token, pin

    def wrap(self, secret: LockedBytes) -> bytes:
        """Under a new AES-256 key of the token, sensitive and not extractable."""
        pkcs11 = library()
        key_id, nonce = os.urandom(KEY_ID_SIZE), os.urandom(NONCE_SIZE)
        with self._session(rw=True) as session:
            key: Any = session.generate_key(
                pkcs11.KeyType.AES,
                256,
                id=key_id,
                label=KEY_LABEL,
                store=True,
                capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
                template={pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False},
            )
            parameters = pkcs11.GCMParams(nonce, LABEL + key_id, TAG_SIZE * 8)
            sealed = key.encrypt(bytes(secret.view), mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameters)
        return BLOB.pack(key_id, nonce, sealed)

    def unwrap(self, blob: bytes) -> LockedBytes:
        """With the key that the blob names."""
        pkcs11 = library()
        if len(blob) != BLOB.size:
            raise KeyStoreError("the token's part has another size: the file was altered; restore it with `fastmix keys import`")
        key_id, nonce, sealed = BLOB.unpack(blob)
        secret = LockedBytes(KEY_SIZE)
        with self._session(rw=False) as session:
            try:
                key: Any = session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, id=key_id)
            except pkcs11.NoSuchKey:
                raise KeyStoreError(
                    f"token {self._token!r} does not have key {key_id.hex()}: insert the token that the file was made with, "
                    "or restore it with `fastmix keys import`"
                ) from None
            parameters = pkcs11.GCMParams(nonce, LABEL + key_id, TAG_SIZE * 8)
            secret.view[:] = key.decrypt(sealed, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameters)
        return secret

    def problem(self) -> str | None:
        """Why the token cannot be used now; None where it is there. Does not ask for the PIN."""
        try:
            self._slot()
        except KeyStoreError as error:
            return str(error)
        return None

    def _slot(self) -> Any:
        """The token, looked for anew."""
        pkcs11 = library()
        if not self._module.is_file():
            raise KeyStoreError(f"{self._module}: there is no PKCS#11 module: install the token's driver, or name its library")
        try:
            module = pkcs11.lib(str(self._module))
            module.reinitialize()
            token = module.get_token(token_label=self._token)
        except pkcs11.MultipleTokensReturned:
            raise KeyStoreError(f"several tokens are called {self._token!r}: remove all but one") from None
        except pkcs11.NoSuchToken:
            raise KeyStoreError(f"token {self._token!r} is not there: insert it, or check its label") from None
        except pkcs11.PKCS11Error as error:
            raise KeyStoreError(f"{self._module}: cannot be used: {told(error)}; check the module and its settings") from None
        if pkcs11.Mechanism.AES_GCM not in token.slot.get_mechanisms():
            raise KeyStoreError(f"token {self._token!r} has no AES-GCM, which fastmix needs: use another, or a passphrase")
        return token

    @contextmanager
    def _session(self, *, rw: bool) -> "Iterator[Session]":
        """A session that is logged in; every error of the token becomes a `KeyStoreError`."""
        pkcs11 = library()
        token = self._slot()
        with self._pin() as pin:
            try:
                text = bytes(pin.view).decode()
            except UnicodeDecodeError:
                raise KeyStoreError(f"the PIN of token {self._token!r} is not UTF-8: check its file") from None
        try:
            with token.open(rw=rw, user_pin=text) as session:
                yield session
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
            raise KeyStoreError(f"wrong PIN of token {self._token!r}: check it, few tries are left before it locks") from None
        except pkcs11.PinLocked:
            raise KeyStoreError(f"the PIN of token {self._token!r} is locked: unlock it as its security officer") from None
        except pkcs11.PKCS11Error as error:
            raise KeyStoreError(
                f"token {self._token!r} refused: {told(error)}; check that it is the one the file was made with, and still there"
            ) from None


def told(error: Exception) -> str:
    """What an exception of python-pkcs11 says; most have a name only."""
    return str(error) or type(error).__name__


def library() -> Any:
    """python-pkcs11; `KeyStoreError` names the extra where it is not installed."""
    try:
        import pkcs11
    except ImportError:
        raise KeyStoreError("PKCS#11 needs python-pkcs11: install it with pip install 'fastmix[hsm]'") from None
    return pkcs11
