"""`fastmix keys`: secret files of nodes and links."""

import os
from pathlib import Path

from fastmix.cli.output import print_json
from fastmix.files.secret import SECRET_SIZE, read_secret, write_secret
from fastmix.seam.lifeline import keep_unseen


def new(paths: list[Path], /, *, json: bool = False) -> None:
    """Make new secret files.

    Each is 32 random bytes with mode 0600: the X25519 secret of a node or a client, whose public key is printed, or the
    secret of a link, whose public key means nothing. A file that exists is never overwritten.

    Parameters
    ----------
    paths
        Files to make.
    json
        Print one JSON object: path to public key.
    """
    keep_unseen()
    for path in paths:
        write_secret(path, os.urandom(SECRET_SIZE))
    show(paths, json=json)


def show(paths: list[Path], /, *, json: bool = False) -> None:
    """Show the X25519 public keys of secret files, in hex.

    Parameters
    ----------
    paths
        Files to read.
    json
        Print one JSON object: path to public key.
    """
    keep_unseen()
    publics = {str(path): x25519_public(read_secret(path)).hex() for path in paths}
    if json:
        print_json(publics)
    else:
        print("\n".join(f"{public}  {path}" for path, public in publics.items()))


def x25519_public(secret: bytes) -> bytes:
    """The public key of a 32-byte X25519 secret (RFC 7748)."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
