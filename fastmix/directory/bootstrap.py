"""Bootstrap texts: where a node of the network is, and by which PIN it is known: `HOST:PORT#PIN?token`.

PIN is the SHA-256 of the node's identity public key, as 64 hex digits; the token is that of `admission`, where the network asks
for one.
"""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address

from fastmix.directory.admission import read_token, token_text
from fastmix.errors import ConfigError
from fastmix.files.addresses import format_address, parse_address

PIN_SIZE = 32
TEXT_MAX = 512
HOW = 'write HOST:PORT#PIN, such as "203.0.113.7:9100#" and the 64 hex digits that the node printed at its start'
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """A node to begin with. `host`: an IP address in its usual form, or a host name in lower case; `pin` (32 bytes) and `token`
    (16 bytes) are None where the text has none. `str()` is the text again, with the token."""

    host: str
    port: int
    pin: bytes | None = None
    token: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        pin = "" if self.pin is None else f"#{self.pin.hex()}"
        token = "" if self.token is None else f"?{token_text(self.token)}"
        return format_address((self.host, self.port)) + pin + token


def parse_bootstrap(text: str) -> Bootstrap:
    """Reads `HOST:PORT[#PIN][?token]`, IPv6 addresses in brackets. `ConfigError` names the text, without its token, and the
    remedy."""
    place, asks, token = text.strip().partition("?")
    address, pinned, pin = place.partition("#")
    try:
        if len(text) > TEXT_MAX:
            raise ValueError(f"is longer than {TEXT_MAX} characters")
        host, port = _read_place(address)
        return Bootstrap(host, port, _read_pin(pin) if pinned else None, read_token(token) if asks else None)
    except ValueError as error:
        raise ConfigError(f"bootstrap {_shown(place)} {error}") from None
    except ConfigError as error:
        raise ConfigError(f"bootstrap {_shown(place)}: {error}") from None


def _read_place(address: str) -> tuple[str, int]:
    """An IP address as `parse_address` reads it, or a host name and a port. Nothing is looked up."""
    host, _, port = address.rpartition(":")
    if "[" in host or ":" in host or _is_ip(host):
        return parse_address(address)
    name = host.lower()
    if len(name) > 253 or not _NAME.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise ValueError(f"has no host in front of the port: {HOW}")
    _, number = parse_address(f"0.0.0.0:{port}")
    return name, number


def _read_pin(pin: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", pin):
        raise ValueError(f"has a PIN of {len(pin)} characters behind #, not one of 64 hex digits: {HOW}")
    return bytes.fromhex(pin)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _shown(text: str) -> str:
    """As a terminal can take it."""
    return repr(text if len(text) <= 120 else text[:120] + "…")
