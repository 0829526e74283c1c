"""A real etcd of the test's own, which can be stopped, killed and started again where it was."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastmix.files.temporary import FleetingDirectory

HERE = "127.0.0.1"
TRIES = 10


class EtcdServer:
    """In a directory; `place` is where clients find it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        for _ in range(TRIES):
            self._ports = free_ports()
            if self.start():
                return
        raise AssertionError((directory / "log").read_text()[-2000:])

    @property
    def place(self) -> str:
        return f"{HERE}:{self._ports[0]}"

    def start(self) -> bool:
        """False where it did not come up."""
        clients, peers = (f"http://{HERE}:{port}" for port in self._ports)
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("etcd", "--data-dir", str(self._directory / "data"), "--log-level", "warn"),
                    *("--listen-client-urls", clients, "--advertise-client-urls", clients),
                    *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
                    *("--initial-cluster", f"default={peers}", "--heartbeat-interval", "20", "--election-timeout", "100"),
                ],
                stdout=log,
                stderr=log,
            )
        while self._process.poll() is None:
            with suppress(OSError), socket.create_connection((HERE, self._ports[0]), 1):
                return True
        return False

    def kill(self) -> None:
        """As a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """It takes connections, and answers nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)


def free_ports() -> tuple[int, int]:
    """Two that were free a moment ago."""
    with socket.socket() as one, socket.socket() as other:
        one.bind((HERE, 0))
        other.bind((HERE, 0))
        return one.getsockname()[1], other.getsockname()[1]


@contextmanager
def etcd_server() -> Iterator[EtcdServer]:
    with FleetingDirectory("fastmix-test-", 256 << 20) as directory:
        server = EtcdServer(directory)
        try:
            yield server
        finally:
            server.kill()
