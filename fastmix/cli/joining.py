"""What `fastmix send`, `listen` and `ping` share: how a client comes into a network, and what it says meanwhile."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fastmix.errors import ConfigError

if TYPE_CHECKING:
    from fastmix.client import Client

BOOTSTRAP = "FASTMIX_BOOTSTRAP"
"""Environment variable: bootstrap texts, with spaces between them."""


def own_state() -> Path:
    """Where a client keeps its identity where nobody says otherwise (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state") / "fastmix" / "client"


def say(text: str) -> None:
    """On standard error, beside what is asked for."""
    print(f"fastmix: {text}", file=sys.stderr, flush=True)


def check_rate(rate: float) -> None:
    """`ConfigError` for a rate of packets that no client has."""
    if not 0 < rate <= 10_000:
        raise ConfigError(f"--rate {rate:g} must be above 0 and at most 10000 packets a second")


def client_of(
    bootstrap: list[str] | None, *, network: Path | None = None, peer_id: str | None = None, secret: Path | None = None,
    state: Path | None = None, trust_first: bool = False, rate: float = 50.0, patience: float | None = None,
) -> "Client":  # fmt: skip
    """A client, not started, as the options say. `ConfigError` where they contradict each other."""
    from fastmix.client import Client

    check_rate(rate)
    if network is not None:
        if bootstrap or state is not None or trust_first:
            raise ConfigError("--network describes a network; --bootstrap, --state and --trust-first join one: choose")
        if peer_id is None or secret is None:
            raise ConfigError("--network needs --peer-id and --secret: those of a [[client]] in it")
        return Client(network, peer_id, secret, send_rate=rate)
    if peer_id is not None or secret is not None:
        raise ConfigError("--peer-id and --secret belong to --network: give it, too")
    texts = bootstrap or os.environ.get(BOOTSTRAP, "").split()
    if not texts:
        raise ConfigError(
            "no network is named: give --bootstrap HOST:PORT#PIN, which a node prints at its start, or set "
            f"{BOOTSTRAP}; or --network with a network file"
        )
    logging.getLogger("fastmix").addHandler(logging.NullHandler())  # `tell` says what a person wants to know
    return Client.join(texts, state=state, trust_first=trust_first, send_rate=rate, patience=patience, tell=say)
