"""What this machine has for a node: the address by which others may reach it, and free ports."""

import errno
import socket
import tomllib
from collections.abc import Collection, Iterable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from fastmix.directory.bootstrap import Bootstrap
from fastmix.errors import NetworkFailure
from fastmix.files.addresses import parse_address

DATA_PORT, CONTROL_PORT = 9000, 9100
"""The first that are tried."""
TRIES = 100
LOOPBACK = "127.0.0.1"
OUTSIDE = ("198.51.100.1", "2001:db8::1")
"""Addresses for documentation (RFC 5737, RFC 3849): the way to them is the default route, and nothing is sent."""
Kind = socket.SocketKind
UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM
NAMES = {UDP: "UDP", TCP: "TCP"}


def own_address(bootstraps: Iterable[Bootstrap]) -> str:
    """The local address toward the first bootstrap node that there is a way to, else of the default route, else 127.0.0.1.
    Nothing is sent, but names are looked up."""
    for place in [*((each.host, each.port) for each in bootstraps), *((host, 9) for host in OUTSIDE)]:
        if found := address_toward(*place):
            return found
    return LOOPBACK


def address_toward(host: str, port: int) -> str | None:
    """The local address from which datagrams to there would come; None where there is no way, or the name is nobody's."""
    try:
        found = socket.getaddrinfo(host, port, type=UDP)
    except OSError:
        return None
    for family, kind, protocol, _, place in found:
        with suppress(OSError), socket.socket(family, kind, protocol) as sock:
            sock.connect(place)
            ip = ip_address(sock.getsockname()[0].partition("%")[0])
            if not ip.is_link_local and not ip.is_unspecified:
                return str(ip)
    return None


def listening(announced: str) -> str:
    """Where a node listens that is reached at an address: on all, but on loopback only there."""
    ip = ip_address(announced)
    if ip.is_loopback:
        return announced
    return "0.0.0.0" if ip.version == 4 else "::"


def why_taken(host: str, port: int, kind: Kind) -> str | None:
    """Why nobody can listen there now, with a remedy; None where one can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, kind) as sock:
            if kind == TCP:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            if kind == TCP:
                sock.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return (
                f"is in use: stop the process that holds it (`ss -{'u' if kind == UDP else 't'}lpn` names it), or choose another"
            )
        if error.errno == errno.EACCES:
            return "needs a privilege: choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE"
        if error.errno == errno.EADDRNOTAVAIL:
            return "is on an address that this machine does not have: use one of its own, or 0.0.0.0 or [::] for all"
        return f"cannot be used: {error.strerror}: choose another"
    return None


def port_for(host: str, wanted: int | None, kind: Kind, first: int, taken: Collection[int], option: str) -> int:
    """The port that is wanted, or the first from `first` on that is free and not `taken`. `NetworkFailure` where none is free."""
    if wanted is not None:
        if why := why_taken(host, wanted, kind):
            raise NetworkFailure(f"{option} {wanted}: {NAMES[kind]} port {wanted} {why}")
        return wanted
    for port in range(first, first + TRIES):
        if port not in taken and why_taken(host, port, kind) is None:
            return port
    raise NetworkFailure(f"no {NAMES[kind]} port from {first} to {first + TRIES - 1} is free: name one with {option}")


def ports_of_neighbours(home: Path) -> set[int]:
    """Ports that nodes with homes beside this one have in their files: they may not run now."""
    found = set()
    for path in home.absolute().parent.glob("*/node.toml"):
        if path.parent.name == home.name:
            continue
        with suppress(OSError, ValueError, KeyError, TypeError):
            values = tomllib.loads(path.read_text())
            for text in (values["listen_addr"], values["join"]["control_addr"]):
                found.add(parse_address(text)[1])
    return found
