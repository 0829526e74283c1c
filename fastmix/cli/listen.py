"""`fastmix listen`: takes what others send, prints texts, keeps files."""

import asyncio
import base64
import json as json_
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fastmix.cli.joining import client_of, own_state
from fastmix.errors import ConfigError

if TYPE_CHECKING:
    from fastmix.client import Client
    from fastmix.client.parcels import Parcel

SETTLE_S = 3.0
"""The last acknowledgement leaves in a slot of its own, after the message is there."""


def listen(
    *, bootstrap: list[str] | None = None, network: Path | None = None, peer_id: str | None = None, secret: Path | None = None,
    state: Path | None = None, trust_first: bool = False, rate: float = 50.0, out: Path | None = None, count: int = 0,
    json: bool = False,
) -> None:  # fmt: skip
    """Listen: print this client's address, then each message that comes, until Ctrl-C.

    A message says nothing about its sender. Texts are printed, without what could move a terminal's cursor.

    Parameters
    ----------
    bootstrap
        A node of the network, HOST:PORT#PIN[?token], as it prints it; several times for several. Or $FASTMIX_BOOTSTRAP.
    network
        Instead: a network file, with --peer-id and --secret.
    peer_id
        The peer id of a [[client]] of that file.
    secret
        The file with that client's secret.
    state
        A directory for identity and keys, which one client uses at a time; by default $XDG_STATE_HOME/fastmix/client.
    trust_first
        Take a bootstrap without PIN: whoever answers there is believed.
    rate
        Packets a second, messages or cover.
    out
        A directory for files that come; without it they are told of and dropped. A file there is never overwritten.
    count
        End after so many messages and files; 0: never.
    json
        Print one JSON object a line: first the address, then each message.
    """
    if out is not None and not out.is_dir():
        raise ConfigError(f"--out {out}: is no directory: make it, or name another")
    if count < 0:
        raise ConfigError(f"--count {count} is below 0")
    if network is None and state is None:
        state = own_state()
    client = client_of(
        bootstrap, network=network, peer_id=peer_id, secret=secret, state=state, trust_first=trust_first, rate=rate
    )
    asyncio.run(_listen(client, out, count, json=json))


async def _listen(client: "Client", out: Path | None, count: int, *, json: bool) -> None:
    from fastmix.client.parcels import Unpacking

    async with client:
        address = client.address
        _print({"address": str(address)}, f"{address}", json=json)
        unpacking, n = Unpacking(), 0
        while not count or n < count:
            parcel = unpacking.take((await client.receive()).data)
            if parcel is not None:
                n += 1
                show(parcel, out, json=json)
        await _settled(client)


async def _settled(client: "Client") -> None:
    """Until what was heard is acknowledged: who has sent it waits for that."""
    give_up = time.monotonic() + SETTLE_S
    while time.monotonic() < give_up and client.acknowledges:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.1)


def show(parcel: "Parcel", out: Path | None, *, json: bool) -> None:
    """Prints a text; keeps a file, or says that it was dropped."""
    told: dict[str, object] = {"bytes": len(parcel.data), "sha256": parcel.sha256}
    if not parcel.name:
        text = parcel.data.decode(errors="replace")
        body = {"text": text} if text.encode() == parcel.data else {"base64": base64.b64encode(parcel.data).decode()}
        _print(told | body, harmless(text), json=json)
        return
    told |= {"file": parcel.name}
    if out is None:
        line = f"file {parcel.name}, {len(parcel.data)} bytes, SHA-256 {parcel.sha256}: dropped, for there is no --out"
        _print(told | {"path": None}, line, json=json)
        return
    path = keep(out, parcel.name, parcel.data)
    _print(told | {"path": str(path)}, f"file {path}, {len(parcel.data)} bytes, SHA-256 {parcel.sha256}", json=json)


def harmless(text: str) -> str:
    """As a terminal can take it: lines and tabs stay, other control characters are shown as ?."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text).rstrip("\n")


def keep(directory: Path, name: str, data: bytes) -> Path:
    """A new file of that name, or with a number behind it where there is one already."""
    from itertools import count

    for at in count():
        path = directory / (name if not at else f"{name}.{at}")
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            raise ConfigError(f"--out {path}: cannot be written: {error.strerror}") from None
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise ConfigError(f"--out {path}: cannot be written: {error.strerror}; make room there") from None
        return path
    raise AssertionError


def _print(told: dict[str, object], line: str, *, json: bool) -> None:
    print(json_.dumps(told) if json else line, flush=True)
