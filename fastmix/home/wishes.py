"""What a command line wants of a node that nobody has configured, and whether that agrees with the file that it has by now."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from fastmix.config import MixnodeConfig
from fastmix.directory.bootstrap import Bootstrap, parse_bootstrap
from fastmix.errors import ConfigError
from fastmix.files.addresses import parse_address


@dataclass(frozen=True, slots=True)
class Wishes:
    """Options of `fastmix run` without a file. None: nobody has said."""

    bootstraps: tuple[Bootstrap, ...] = ()
    trust_first: bool = False
    address: str | None = None
    port: int | None = None
    control_port: int | None = None
    allow_swap: bool = False


def read_wishes(
    bootstraps: Iterable[str], *, trust_first: bool, address: str | None, port: int | None, control_port: int | None,
    allow_swap: bool,
) -> Wishes:  # fmt: skip
    """`ConfigError` names the option that is wrong, and the remedy."""
    found = tuple(parse_bootstrap(text) for text in bootstraps)
    check_pins(found, trust_first=trust_first)
    if trust_first and not found:
        raise ConfigError("--trust-first is for a bootstrap node without a PIN: name one with --bootstrap, or leave it out")
    return Wishes(found, trust_first, None if address is None else read_address(address), port, control_port, allow_swap)


def check_pins(bootstraps: Iterable[Bootstrap], *, trust_first: bool) -> None:
    """`ConfigError` for one without a PIN, unless its first answer is to be believed."""
    for each in bootstraps:
        if each.pin is None and not trust_first:
            raise ConfigError(
                f"bootstrap {place(each)} has no PIN, so whoever answers there would be believed: get the whole text from "
                "`fastmix network show` at that node, or say --trust-first (in a file: trust_first = true)"
            )


def read_address(text: str, option: str = "--address") -> str:
    """An IP address that others may reach, in its usual form."""
    try:
        ip = ip_address(text)
    except ValueError:
        raise ConfigError(f"{option} {text}: is no IP address: write it without a port, as 203.0.113.7 or 2001:db8::7") from None
    if ip.is_unspecified or ip.is_multicast or ip.is_link_local:
        raise ConfigError(f"{option} {text}: others cannot reach a node there: name an address of this machine, or of its router")
    return str(ip)


def place(bootstrap: Bootstrap) -> str:
    """HOST:PORT."""
    return str(replace(bootstrap, pin=None, token=None))


def without_tokens(bootstraps: Iterable[Bootstrap]) -> list[Bootstrap]:
    """Who is meant."""
    return sorted((replace(each, token=None) for each in bootstraps), key=str)


def check_agree(config: MixnodeConfig, path: Path, wishes: Wishes) -> None:
    """`ConfigError` for the first option that contradicts the file of a node that is there, but for its bootstrap nodes."""
    join = config.join
    assert join is not None
    assert config.listen_addr is not None
    port, control_port = parse_address(config.listen_addr)[1], parse_address(join.control_addr)[1]
    pairs: tuple[tuple[str, object, object, str], ...] = (
        ("--address", wishes.address, join.announce, "announce, in [join]"),
        ("--port", wishes.port, port, "listen_addr"),
        ("--control-port", wishes.control_port, control_port, "control_addr, in [join]"),
        ("--allow-swap", wishes.allow_swap or None, config.allow_swap, "allow_swap"),
        ("--trust-first", wishes.trust_first or None, join.trust_first, "trust_first, in [join]"),
    )
    for option, wanted, found, name in pairs:
        if wanted is not None and wanted != found:
            said = option if wanted is True else f"{option} {wanted}"
            raise ConfigError(
                f"{said}: {path} has {shown(found)}: edit {name}, leave the option out, or make another node with --home DIR"
            )


def shown(value: object) -> str:
    """As it is in a file."""
    return str(value).lower() if isinstance(value, bool) else "none" if value is None else str(value)


def new_bootstraps(config: MixnodeConfig, path: Path, wishes: Wishes, *, joined: bool) -> tuple[str, ...] | None:
    """What the file's bootstrap has to become; None where it is good. Other tokens are taken over; until the node has joined
    a network, other nodes, too. `ConfigError` where it is in another one."""
    assert config.join is not None
    if not wishes.bootstraps:
        return None
    wanted, found = wishes.bootstraps, tuple(parse_bootstrap(text) for text in config.join.bootstrap)
    other = "edit bootstrap there, leave the option out, or make another node with --home DIR"
    if not found:
        raise ConfigError(f"--bootstrap {place(wanted[0])}: {path} is that of the first node of a network of its own: {other}")
    if without_tokens(wanted) != without_tokens(found):
        if joined:
            names = " and ".join(map(place, found))
            raise ConfigError(
                f"--bootstrap {place(wanted[0])}: {path} is of a node that came into its network by {names}: {other}"
            )
    elif all(each.token is None or each in found for each in wanted):
        return None
    return tuple(map(str, wanted))
