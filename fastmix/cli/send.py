"""`fastmix send`: a file or a text to a client."""

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fastmix.cli.joining import check_rate, client_of
from fastmix.cli.output import print_json
from fastmix.errors import BatchTimeout, ConfigError, NetworkFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmix.bench.progress import Progress
    from fastmix.client import Address, Client

AT_ONCE = 4
"""Parts that are under way at a time."""
AGAIN_S = 0.5
"""While nothing can leave, because a node is down, it is tried again so often."""


def send(
    to: str, file: Annotated[Path, Parameter(allow_leading_hyphen=True)] = Path("-"), /, *,
    bootstrap: list[str] | None = None, network: Path | None = None,
    peer_id: str | None = None, secret: Path | None = None, state: Path | None = None, trust_first: bool = False,
    rate: float = 50.0, timeout: float = 0.0, json: bool = False,
) -> None:  # fmt: skip
    """Send a file, or what comes in on standard input, to a client that listens; wait until all of it is acknowledged.

    Parameters
    ----------
    to
        The recipient's address, as `fastmix listen` prints it.
    file
        What to send, at most 256 MiB; - for standard input, which goes as a text without a name.
    bootstrap
        A node of the network, HOST:PORT#PIN[?token], as it prints it; several times for several. Or $FASTMIX_BOOTSTRAP.
    network
        Instead: a network file, with --peer-id and --secret.
    peer_id
        The peer id of a [[client]] of that file.
    secret
        The file with that client's secret.
    state
        A directory for identity and keys. Without it this sender is somebody new each time.
    trust_first
        Take a bootstrap without PIN: whoever answers there is believed.
    rate
        Packets a second, messages or cover; each carries about 1 KB.
    timeout
        Seconds until it is given up; by default a minute, and four times what it takes at that rate.
    json
        Print one JSON object.
    """
    from fastmix.client import Address
    from fastmix.client.parcels import pack

    check_rate(rate)
    address = Address.from_text(to)
    name, data = read_file(file)
    try:
        messages = pack(name, data)
    except ValueError as error:
        raise ConfigError(f"{file}: {error}: send it in parts") from None
    if timeout < 0:
        raise ConfigError(f"--timeout {timeout:g} is below 0: give seconds")
    limit = timeout or 60.0 + 4 * len(data) / (900 * rate)
    client = client_of(
        bootstrap,
        network=network,
        peer_id=peer_id,
        secret=secret,
        state=state,
        trust_first=trust_first,
        rate=rate,
        patience=limit,
    )
    told = asyncio.run(_send(client, address, messages, limit))
    told |= {"name": name, "bytes": len(data), "sha256": _sha256(data)}
    if json:
        print_json(told)
    else:
        print(f"delivered: {name or 'a text'}, {len(data)} bytes in {told['seconds']} s, SHA-256 {told['sha256']}")


def read_file(file: Path) -> tuple[str, bytes]:
    """(name, content); the name is empty of standard input."""
    if str(file) == "-":
        return "", sys.stdin.buffer.read()
    try:
        return file.name, file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}: name a file, or - for standard input") from None


async def _send(client: "Client", to: "Address", messages: "Sequence[bytes]", limit: float) -> dict[str, object]:
    from fastmix.bench.progress import progress_bar

    with progress_bar("send") as progress:
        progress(0.0, "joining the network")
        async with client:
            began = time.monotonic()
            n = await deliver(client, to, messages, began + limit, progress)
            return {"seconds": round(time.monotonic() - began, 2), "retransmitted": n}


async def deliver(client: "Client", to: "Address", messages: "Sequence[bytes]", end: float, progress: "Progress") -> int:
    """All of them, a few at a time, until that moment of the steady clock; how many fragments were sent again. While no way is
    open they wait. `BatchTimeout` where the time is over."""
    room, done, resent = asyncio.Semaphore(AT_ONCE), 0, 0

    async def one(message: bytes) -> None:
        nonlocal done, resent
        async with room:
            while True:
                left = end - time.monotonic()
                try:
                    sent = await client.send(to, message, timeout=max(0.1, left))
                    break
                except NetworkFailure:
                    if left <= 0 or not client.is_running:
                        raise
                    await asyncio.sleep(AGAIN_S)
        done, resent = done + 1, resent + sent.n_retransmitted
        progress(done / len(messages), f"{done} of {len(messages)} parts")

    progress(0.0, f"0 of {len(messages)} parts")
    try:
        async with asyncio.TaskGroup() as group:
            for message in messages:
                group.create_task(one(message))
    except* (BatchTimeout, NetworkFailure, ConfigError) as failures:
        first = failures.exceptions[0]
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise type(first)(f"{done} of {len(messages)} parts were delivered: {first}") from None
    return resent


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
