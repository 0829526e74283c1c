"""The first nodes by a domain's name: SRV records (RFC 2782) and TXT records of `_fastmix._tcp.DOMAIN`.

    _fastmix._tcp.example.org. SRV 10 0 9100 mix1.example.org.
    _fastmix._tcp.example.org. TXT "mix1.example.org:9100#PIN"

SRV says which nodes, in which order; TXT has their PINs. A text without an SRV record counts, too, after those with one; a node
without a text comes last and has no PIN. Whoever believes a PIN from there believes DNS: a domain whose answers are not checked
(DNSSEC) may name any network.
"""

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastmix.directory.backends import NUMBER_MAX, Kind
from fastmix.directory.bootstrap import Bootstrap, parse_bootstrap
from fastmix.errors import ConfigError, NetworkFailure

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

log = logging.getLogger(__name__)
SERVICE = "_fastmix._tcp"
LOOK_S = 300.0
"""Between two looks for changes."""
ANSWER_S = 10.0


def system_resolver() -> "Resolver":
    """As the machine has it. `ConfigError` without dnspython."""
    try:
        made: Resolver = importlib.import_module("dns.asyncresolver").Resolver()
    except ImportError:
        raise ConfigError("a network is looked up by its domain with dnspython: pip install 'fastmix[dns]'") from None
    return made


class DnsBackend:
    """A domain. It carries bootstrap texts only, which its owner has put there: nothing can be published."""

    def __init__(self, domain: str, resolver: "Resolver | None" = None, look_s: float = LOOK_S) -> None:
        """`ConfigError` for what is no domain's name."""
        self._resolver: Any = resolver or system_resolver()
        self.name = f"{SERVICE}.{domain.rstrip('.')}."
        try:
            importlib.import_module("dns.name").from_text(self.name)
        except Exception as error:
            raise ConfigError(f'domain {domain!r} is none: {error}: write one such as "example.org"') from None
        self._look_s = look_s
        self._closed = asyncio.Event()

    async def publish(self, kind: Kind, key: str, data: bytes) -> None:
        """`NetworkFailure`, always."""
        raise NetworkFailure(f"{self.name} is read only: its owner puts the texts into its zone")

    async def fetch(self, kind: Kind) -> dict[str, bytes]:
        """As `Backend`."""
        texts = await self.bootstraps() if kind == "bootstrap" else []
        return {f"{at:04d}": str(text).encode() for at, text in enumerate(texts)}

    async def bootstraps(self) -> list[Bootstrap]:
        """The nodes, in the order in which they are to be tried. Texts that are none are left out."""
        targets, texts = await asyncio.gather(self._ask("SRV"), self._ask("TXT"))
        pinned = {(each.host, each.port): each for each in _read_texts(self.name, texts)}
        ordered: dict[tuple[str, int], Bootstrap] = {}
        for srv in sorted(targets, key=lambda each: (each.priority, -each.weight, str(each.target), each.port)):
            place = (str(srv.target).rstrip(".").lower(), srv.port)
            if place[0] and place[1]:  # "." means that the service is decidedly not there
                ordered[place] = pinned.get(place) or Bootstrap(*place)
        return sorted((ordered | pinned).values(), key=lambda each: each.pin is None)[: NUMBER_MAX["bootstrap"]]

    async def watch(self) -> AsyncIterator[None]:
        """As `Backend`."""
        seen: list[Bootstrap] | None = None
        while not self._closed.is_set():
            before = seen
            with suppress(NetworkFailure):
                seen = await self.bootstraps()
            if seen != before or before is None:
                yield
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), self._look_s)

    async def close(self) -> None:
        """As `Backend`."""
        self._closed.set()

    async def _ask(self, kind: str) -> list[Any]:
        """The records; none where there are none."""
        resolver, exception = importlib.import_module("dns.resolver"), importlib.import_module("dns.exception")
        try:
            return list(await self._resolver.resolve(self.name, kind, lifetime=ANSWER_S, search=False))
        except (resolver.NXDOMAIN, resolver.NoAnswer):
            return []
        except (exception.DNSException, OSError) as error:
            raise NetworkFailure(f"{self.name}: no {kind} records: {error}: look at this machine's DNS, or name a node") from None


def _read_texts(name: str, records: Iterable[Any]) -> Iterable[Bootstrap]:
    """TXT records come in strings of up to 255 bytes."""
    for record in records:
        try:
            yield parse_bootstrap(b"".join(record.strings).decode("ascii", "replace"))
        except ConfigError as error:
            log.warning("%s: a TXT record is left out: %s", name, error)
