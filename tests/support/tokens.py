"""Real tokens for tests: a SoftHSM2 token and a software TPM of one's own, each in a directory of its own."""

import os
import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastmix.keys.tpm import chip_problem

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN, OFFICER_PIN, TOKEN = "not-hex-9876", "123456", "fastmix-test"
TRIES = 10


def softhsm_environment(directory: Path) -> dict[str, str]:
    """What SoftHSM2 needs to keep its tokens in that directory."""
    tokens = directory / "tokens"
    tokens.mkdir(exist_ok=True)
    config = directory / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    return {"SOFTHSM2_CONF": str(config)}


def new_token(directory: Path) -> dict[str, str]:
    """Makes a token; returns the environment in which it is there."""
    environment = softhsm_environment(directory)
    command = ["softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--so-pin", OFFICER_PIN, "--pin", PIN]
    subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, timeout=60)
    return environment


@contextmanager
def software_tpm(directory: Path) -> Iterator[str]:
    """Runs swtpm with its state in that directory; gives the TCTI string."""
    if not directory.exists():
        directory.mkdir()
        setup = ["swtpm_setup", "--tpm2", "--tpmstate", str(directory), "--pcr-banks", "sha256", "--overwrite"]
        subprocess.run(setup, check=True, capture_output=True, timeout=120)
    for _ in range(TRIES):
        port = free_ports()
        server = subprocess.Popen(
            [
                *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={directory}", "--flags", "not-need-init,startup-clear"),
                *("--server", f"type=tcp,port={port},bindaddr=127.0.0.1"),
                *("--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if answers(server, port + 1):
                tcti = f"swtpm:host=127.0.0.1,port={port}"
                while chip_problem(tcti) and server.poll() is None:  # while it closes the connection that has just been tried
                    pass
                yield tcti
                return
        finally:
            server.kill()
            server.wait()
    raise AssertionError(f"swtpm found no two ports in {TRIES} tries")


def free_ports() -> int:
    """The first of two ports side by side that nobody has now: the way in which tpm2-tss finds the control channel.

    Below those that the kernel gives out: nobody gets one by chance, and no try to connect can meet itself.
    """
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(end // 2, end - 1)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
            return port


def answers(server: subprocess.Popen[bytes], port: int) -> bool:
    """Waits until the server takes connections; False where it has ended instead: somebody else was faster at the port."""
    while server.poll() is None:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=60):
            return True
    return False
