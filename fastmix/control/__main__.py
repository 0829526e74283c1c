"""Entry of the control process: `python -m fastmix.control HANDOVER`, executed by the parent only.

HANDOVER is JSON: the descriptors of the configuration, the page, the secret memory and the owner's socket, and the parent's pid.
"""

import asyncio
import json
import logging
import pickle
import signal
import sys
from typing import Any

import uvloop

from fastmix.config import MixnodeConfig
from fastmix.control.ask import SOCKET_NAME
from fastmix.control.duties import Duties
from fastmix.control.talk import serve
from fastmix.errors import FastmixError
from fastmix.network import Network
from fastmix.seam.lifeline import set_lifeline
from fastmix.seam.logs import configure_logs, tell_owner
from fastmix.seam.memory import Region, page_sections, secret_sections

TICK_S = 0.1
EXIT_REFUSED = 3
"""Exit code for a problem that a restart would not mend; the parent gives up."""


def read_config(fd: int) -> MixnodeConfig:
    """The configuration that the parent wrote into a memfd."""
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        config: MixnodeConfig = pickle.load(file)
    return config


async def control(duties: Duties, handover: dict[str, Any]) -> None:
    """Serves until told to end."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await serve(duties, duties.config.state_dir, handover.get("owner"))
    while not ended.is_set():
        duties.tick()
        try:
            await asyncio.wait_for(ended.wait(), TICK_S)
        except TimeoutError:
            continue
    server.close()
    (duties.config.state_dir / SOCKET_NAME).unlink(missing_ok=True)


def main() -> int:
    """Runs the control process."""
    handover = json.loads(sys.argv[1])
    set_lifeline(handover["parent"])
    config = read_config(handover["config"])
    configure_logs(config.log_level, config.node_id, "control")
    page, secret = Region(handover["page"], page_sections()), Region(handover["secret"], secret_sections())
    try:
        secret.keep_private()
        duties = Duties(config, Network.load(config.network), page, secret)
        duties.begin()
        uvloop.run(control(duties, handover))
    except (FastmixError, OSError) as error:
        logging.getLogger("fastmix.control").error("%s", error)
        tell_owner(handover.get("owner"), error)
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
