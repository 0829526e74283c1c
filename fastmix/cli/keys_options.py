"""Options that commands over a key store have in common. Light: `--help` reads them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

Kept = Literal["passphrase", "pkcs11", "tpm"]
"""What can keep a store's key."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockOptions:
    """What opens a store. Without any, the systemd credential fastmix-passphrase or a prompt on the terminal is asked."""

    passphrase_fd: Annotated[int | None, Parameter(validator=Number(gte=0))] = None
    """Read the passphrase, or the token's PIN, from this open descriptor."""
    passphrase_file: Path | None = None
    """Read the passphrase, or the token's PIN, from this file of mode 0600."""
    pkcs11_module: Path | None = None
    """Library of the PKCS#11 token that keeps the key."""
    pkcs11_token: str | None = None
    """Label of that token."""
    tpm: str | None = None
    """The TPM as a TCTI string. By default device:/dev/tpmrm0."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOptions:
    """What will keep the key of a store that is written."""

    kept_by: Kept = "passphrase"
    """What keeps the key from now on: passphrase, pkcs11 (a token) or tpm (a TPM, while the PCRs stay)."""
    pcrs: str | None = None
    """PCRs that a TPM checks, such as 7,11. By default 7."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class NewPassphraseOptions:
    """The second passphrase of commands that need two."""

    new_passphrase_fd: Annotated[int | None, Parameter(validator=Number(gte=0))] = None
    """Read the passphrase, or PIN, of what is written from this open descriptor."""
    new_passphrase_file: Path | None = None
    """Read the passphrase, or PIN, of what is written from this file of mode 0600."""
