"""Entry of the control process: `python -m fastmix.control HANDOVER`, executed by the parent only.

HANDOVER is JSON: the descriptors of the configuration, the page, the secret memory, the memory that only controls use, and the
owner's socket, and the parent's pid.
"""

import asyncio
import json
import logging
import os
import pickle
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import uvloop

from fastmix.config import MixnodeConfig
from fastmix.control.ask import SOCKET_NAME
from fastmix.control.duties import Duties
from fastmix.control.identity import NodeIdentity
from fastmix.control.talk import serve
from fastmix.errors import FastmixError, KeyStoreError
from fastmix.network import Network
from fastmix.seam.lifeline import keep_unseen, set_lifeline
from fastmix.seam.logs import configure_logs, tell_owner
from fastmix.seam.memory import Region, kept_sections, page_sections, secret_sections

TICK_S = 0.1
EXIT_REFUSED, EXIT_KEYS = 3, 78
"""Exit codes for a problem that a restart would not mend; the parent gives up. 78: a store, its passphrase, token or TPM."""


def read_setup(fd: int) -> tuple[MixnodeConfig, Network]:
    """The configuration and the network as the parent has read them: every control of a node sees the same."""
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        setup: tuple[MixnodeConfig, Network] = pickle.load(file)
    return setup


async def control(duties: Duties, handover: dict[str, Any]) -> None:
    """Serves as long as there is a data plane to serve and a parent. SIGTERM, which may have gone to all processes of the
    node, only makes it look at once."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    server = await serve(duties, duties.config.state_dir, handover.get("owner"))
    path = duties.config.state_dir / SOCKET_NAME
    mine = path.lstat()
    async with membership_of(duties) as look:
        while os.getppid() == handover["parent"] and not duties.page["process"]["ended"][0]:
            duties.tick()
            duties.records.flush()
            look()
            told.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), TICK_S)
    if duties.page["process"]["ended"][0]:
        duties.settle()
    server.close()
    await duties.records.settle()
    with suppress(FileNotFoundError):  # a successor of the whole node may have its own there already
        if os.path.samestat(mine, path.lstat()):
            path.unlink()


@asynccontextmanager
async def membership_of(duties: Duties) -> AsyncIterator[Callable[[], None]]:
    """The membership of a node that has one, as long as the `with` lasts. Call what it gives now and then: it raises what has
    ended the membership, and begins the farewell when the node is to leave."""
    member = duties.member
    if member is None:
        yield lambda: None
        return
    running, leaving = asyncio.create_task(member.run()), list[asyncio.Task[None]]()

    def look() -> None:
        if running.done():
            running.result()
        if duties.page["process"]["leave"][0] and not leaving:
            leaving.append(asyncio.create_task(member.leave()))
            leaving[0].add_done_callback(lambda _: duties.drain())

    try:
        yield look
    finally:
        for task in (running, *leaving):
            task.cancel()
            with suppress(asyncio.CancelledError, FastmixError):
                await task


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the process in order while a `with` lasts: somebody may be asked for a passphrase, on a terminal whose echo
    has to come back."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        signal.signal(signal.SIGTERM, before)


def allow_files() -> None:
    """As many open files as the system permits: each link has one of counters."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> int:
    """Runs the control process."""
    handover = json.loads(sys.argv[1])
    set_lifeline(handover["parent"])
    config, network = read_setup(handover["config"])
    keep_unseen()
    configure_logs(config.log_level, config.node_id, "control", config.log_format)
    page, secret = Region(handover["page"], page_sections()), Region(handover["secret"], secret_sections())
    try:
        kept = Region(handover["kept"], kept_sections())
        for region in (secret, kept):
            region.keep_private()
        allow_files()
        with ending_on_sigterm():
            identity = NodeIdentity(config, network, kept)
        identity.watch()
        duties = Duties(config, network, page, secret, identity)
        duties.begin()
        uvloop.run(control(duties, handover))
        identity.close()
    except (FastmixError, OSError) as error:
        logging.getLogger("fastmix.control").error("%s", error)
        tell_owner(handover.get("owner"), error)
        return EXIT_KEYS if isinstance(error, KeyStoreError) else EXIT_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
