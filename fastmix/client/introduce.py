"""The first thing a client hears of a network: from a bootstrap node, which it knows by its PIN."""

import asyncio
import random
from collections.abc import Callable, Sequence

from fastmix.directory.back_off import BackOff
from fastmix.directory.bootstrap import Bootstrap, parse_bootstrap
from fastmix.errors import ConfigError, NetworkFailure
from fastmix.files.addresses import format_address
from fastmix.peers.messages import Introduction, Question, read
from fastmix.tls.connection import Connection
from fastmix.tls.end import End

Tell = Callable[[str], None]
"""Is told, in words, what a person may want to know."""
Say = Callable[[str, str], None]
"""The same, with what it is about first: empty words take back what was said about that."""
CONNECT_S = 5.0
WAIT_MOST_S = 5.0
"""Between two tries of one node."""


def bootstraps_of(bootstrap: str | Bootstrap | Sequence[str | Bootstrap], *, trust_first: bool) -> list[Bootstrap]:
    """One or several; `ConfigError` where there is none, or one has no PIN and `trust_first` is not set."""
    texts = [bootstrap] if isinstance(bootstrap, str | Bootstrap) else list(bootstrap)
    read = [text if isinstance(text, Bootstrap) else parse_bootstrap(text) for text in texts]
    if not read:
        raise ConfigError("no bootstrap is given: a node of the network prints one at its start")
    for each in read:
        if each.pin is None and not trust_first:
            raise ConfigError(
                f"bootstrap {format_address((each.host, each.port))} has no PIN, so anybody could be the node there: give "
                "HOST:PORT#PIN, as the node prints it, or trust whoever answers with --trust-first"
            )
    return read


class Introductions:
    """Asks bootstrap nodes, one after the other, until one introduces its network."""

    def __init__(self, end: End, bootstraps: Sequence[Bootstrap], say: Say) -> None:
        self._end, self._say = end, say
        self._tries = [(each, BackOff()) for each in random.sample(list(bootstraps), len(bootstraps))]

    async def one(self) -> tuple[Connection, Introduction]:
        """A connection to a bootstrap node, and what it says; waits for it, and says why."""
        clock = asyncio.get_running_loop().time
        while True:
            for bootstrap, back_off in self._tries:
                if clock() >= back_off.not_before:
                    name = format_address((bootstrap.host, bootstrap.port))
                    try:
                        introduced = await self._ask(bootstrap)
                    except NetworkFailure as failure:
                        again = "trying the others, and again" if len(self._tries) > 1 else "trying again"
                        self._say(name, f"bootstrap {failure}; {again}")
                        back_off.failed(clock(), random.random())
                        back_off.not_before = min(back_off.not_before, clock() + WAIT_MOST_S)
                    else:
                        self._say(name, "")
                        return introduced
            await asyncio.sleep(max(0.0, min(back_off.not_before for _, back_off in self._tries) - clock()))

    async def _ask(self, bootstrap: Bootstrap) -> tuple[Connection, Introduction]:
        place = bootstrap.host, bootstrap.port
        try:
            async with asyncio.timeout(CONNECT_S):
                connection, _ = await self._end.join(place, "client", bootstrap.pin, bootstrap.token or b"")
        except TimeoutError:
            raise NetworkFailure(f"{format_address(place)}: no answer in {CONNECT_S:g} s") from None
        try:
            return connection, read(await connection.ask(Question.INTRODUCTION, b""), Introduction)
        except NetworkFailure as failure:
            connection.end("it has not introduced its network")
            raise NetworkFailure(f"{format_address(place)}: {failure}") from None
