"""Who may come into a network: anyone, who has a token, or who is on a list. And the proof that a joiner has its identity.

A token is 16 random bytes, shown as base32; kept is only its SHA-256, so that what lies on a disk admits nobody.
"""

import base64
import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from fastmix.directory.signed import JOIN, Signer, to_sign, verifies
from fastmix.errors import ConfigError

TOKEN_SIZE = 16
NONCE_SIZE = 32
Role = Literal["node", "client"]
Policy = Literal["open", "token", "list"]


def token_text(token: bytes) -> str:
    """26 letters and digits."""
    return base64.b32encode(token).decode().rstrip("=").lower()


def read_token(text: str) -> bytes:
    """The 16 bytes; `ConfigError` where the text is no token."""
    try:
        token = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError:
        token = b""
    if len(token) != TOKEN_SIZE:
        raise ConfigError("the token is not one: give the 26 letters and digits that `fastmix network init` has printed")
    return token


def token_hash(token: bytes) -> bytes:
    """What is kept of it."""
    return hashlib.sha256(b"fastmix token 1\0" + token).digest()


@dataclass(frozen=True, slots=True)
class Admission:
    """`open`, `token` with the hash of one, or `list` with identities."""

    policy: Policy
    token: bytes = b""
    listed: Collection[bytes] = ()

    def refusal(self, identity: bytes, token: bytes) -> str:
        """Why that identity, which has given that token (empty: none), may not come in; empty where it may."""
        if self.policy == "list" and identity not in self.listed:
            return f"identity {identity.hex()} is not on the list of who is admitted"
        if self.policy == "token" and not hmac.compare_digest(token_hash(token), self.token):
            return "the token is missing" if not token else "the token is another one"
        return ""


def joining(role: Role, server_key: bytes, nonce: bytes) -> bytes:
    """What a joiner signs: its role, the SHA-256 of the server's TLS public key in DER, and the server's 32-byte nonce. So no
    server can pass the proof on to another one."""
    if len(server_key) != 32 or len(nonce) != NONCE_SIZE:
        raise ValueError(f"server_key and nonce have {len(server_key)} and {len(nonce)} bytes, not 32 and {NONCE_SIZE}")
    return role.encode() + b"\0" + server_key + nonce


def prove(signer: Signer, role: Role, server_key: bytes, nonce: bytes) -> bytes:
    """The joiner's signature."""
    return signer.sign(to_sign(JOIN, joining(role, server_key, nonce)))


def is_proved(identity: bytes, signature: bytes, role: Role, server_key: bytes, nonce: bytes) -> bool:
    """Whether who joins has that identity."""
    return verifies(identity, signature, JOIN, joining(role, server_key, nonce))
