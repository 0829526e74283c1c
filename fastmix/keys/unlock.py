"""What opens a key store, from the words of a command line or of a configuration: the same for both."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from fastmix.errors import ConfigError
from fastmix.keys import passphrase
from fastmix.keys._chain import LockedBytes
from fastmix.keys.pkcs11 import Pkcs11Wrapping
from fastmix.keys.store import Sealed
from fastmix.keys.tpm import DEVICE, PCRS, TpmWrapping
from fastmix.keys.wrapping import PassphraseWrapping, Wrapping

KINDS = (PassphraseWrapping.name, Pkcs11Wrapping.name, TpmWrapping.name)
"""What can keep a store's key."""


class Settings(Protocol):
    """Options of a command, or a table of a configuration."""

    @property
    def passphrase_fd(self) -> int | None:
        """The open descriptor that gives passphrase or PIN."""

    @property
    def passphrase_file(self) -> Path | None:
        """The file of mode 0600 that has them."""

    @property
    def pkcs11_module(self) -> Path | None:
        """The token's library."""

    @property
    def pkcs11_token(self) -> str | None:
        """The token's label."""

    @property
    def tpm(self) -> str | None:
        """The TPM as a TCTI string."""


Named = Callable[[str], str]
"""How people write a setting: `--passphrase-file`, or `identity.passphrase_file`."""


def as_option(key: str) -> str:
    """`--passphrase-file`."""
    return "--" + key.replace("_", "-")


def asking(
    settings: Settings, words: str, named: Named = as_option, *, new: bool = False, credential: bool = True
) -> Callable[[], LockedBytes]:
    """Asks where the settings say: descriptor, file, systemd credential, terminal. A new passphrase is typed twice.

    `ConfigError` where two of them are given.
    """
    fd, file = settings.passphrase_fd, settings.passphrase_file
    if fd is not None and file is not None:
        raise ConfigError(f"{named('passphrase_fd')} and {named('passphrase_file')}: give one of them")

    def ask() -> LockedBytes:
        if fd is not None:
            return passphrase.from_fd(fd)
        if file is not None:
            return passphrase.from_file(file)
        if credential and passphrase.credential_path(os.environ):
            return passphrase.from_credential(os.environ)
        instead = f"{named('passphrase_fd')}, {named('passphrase_file')}"
        return passphrase.from_prompt(f"{words}: ", twice=new, instead=instead)

    return ask


def wrapping_of(
    kind: str, settings: Settings, ask: Callable[[], LockedBytes], named: Named = as_option, pcrs: Sequence[int] = PCRS
) -> Wrapping:
    """The wrapping of a kind (`KINDS`), as the settings say; `ConfigError` where they do not suffice."""
    if kind == Pkcs11Wrapping.name:
        if settings.pkcs11_module is None or settings.pkcs11_token is None:
            wanted = f"{named('pkcs11_module')} and {named('pkcs11_token')}"
            raise ConfigError(f"the key is kept by a PKCS#11 token: give {wanted}")
        return Pkcs11Wrapping(settings.pkcs11_module, settings.pkcs11_token, ask)
    if kind == TpmWrapping.name:
        return TpmWrapping(pcrs, settings.tpm or DEVICE)
    return PassphraseWrapping(ask)


def check_kind(sealed: Sealed) -> None:
    """`ConfigError` for a store whose key is kept by something that this program does not know."""
    if sealed.wrapping not in KINDS:
        raise ConfigError(
            f"{sealed.path}: its key is kept by {sealed.wrapping!r}, which this fastmix does not know: install the newer one"
        )
