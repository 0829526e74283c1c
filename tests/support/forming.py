"""Real nodes that form a network by themselves, on loopback: each a `fastmix run` of a configuration with a [join]."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secrets_of_tests import locked

from fastmix.control.ask import ask
from fastmix.directory.bootstrap import Bootstrap
from fastmix.errors import FastmixError
from fastmix.keys.hierarchy import Identity
from fastmix.keys.store import create_store
from fastmix.keys.wrapping import Argon2Cost, PassphraseWrapping
from fastmix.tls.greeting import pin_of

CHEAP = Argon2Cost(8, 1, 1)
HERE = "127.0.0.1"
CONFIG = """
state_dir = "state"
node_id = "{name}"
listen_addr = "{host}:{data_port}"
allow_swap = true
replay_capacity = 20000
log_level = "{log_level}"
[mixing]
floor = 0
min_batch_size = 1
max_latency = "50ms"
[identity]
store = "identity"
passphrase_file = "passphrase"
[keys]
slot = "10s"
early = "5s"
late = "8s"
interval = "60s"
overlap_period = "20s"
[join]
bootstrap = {bootstrap}
control_addr = "{host}:{control_port}"
mean_delay = "5ms"
{join}
"""


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((HERE, 0))
        return int(sock.getsockname()[1])


@dataclass
class FormingNode:
    """One node. `join`: further lines of its [join]."""

    folder: Path
    name: str
    bootstrap: list[str] = field(default_factory=list)
    join: str = 'admission = "open"'
    log_level: str = "info"
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700)
        with Identity.fresh() as identity:
            create_store(self.folder / "identity", identity, PassphraseWrapping(lambda: locked(b"test"), CHEAP))
            self.identity = identity.public
        (self.folder / "passphrase").write_bytes(b"test")
        (self.folder / "passphrase").chmod(0o600)
        self.data_port, self.control_port = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
        self.config = self.folder / "node.toml"
        self.write()

    def write(self) -> None:
        """The configuration as it is said now."""
        self.config.write_text(
            CONFIG.format(
                name=self.name, host=HERE, data_port=self.data_port, control_port=self.control_port,
                bootstrap=json.dumps(self.bootstrap), join=self.join, log_level=self.log_level,
            )
        )  # fmt: skip

    @property
    def text(self) -> str:
        """What others are given to begin with."""
        return str(Bootstrap(HERE, self.control_port, pin_of(self.identity)))

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "fastmix", "run", str(self.config)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ), start_new_session=True)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            if how is signal.SIGKILL:
                os.killpg(self.process.pid, how)
            else:
                self.process.send_signal(how)
        return self.process.wait(30)

    def ask(self, op: str, **more: object) -> Any:
        return ask(self.folder / "state", op, **more)

    def network(self) -> dict[str, Any]:
        """What it says of its network; {} where it does not answer."""
        try:
            found: dict[str, Any] = self.ask("network")
        except (FastmixError, OSError):
            return {}
        return found

    def linked(self) -> int:
        """Nodes that it sends to."""
        return sum(node["link"] == "up" for node in self.network().get("nodes", ()))


def until(what: Callable[[], bool], why: Callable[[], str], timeout_s: float = 60.0) -> None:
    """Waits for it; fails with the reason."""
    give_up = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < give_up, why()
        time.sleep(0.05)
